"""What a farm needs before other machines can reach it: addresses, ports, certificates, Redis's first users."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import logging
import secrets
import socket
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from blendnet.errors import FarmError, NoticeUnknown
from blendnet.manager.broker import Outside
from blendnet.manager.broker_users import BrokerUsers
from blendnet.manager.folder import DataFolder
from blendnet.metadata import SERVICE_URL, public_address
from blendnet.security.ca import ensure_server_certificate
from blendnet.security.credentials import AGENT, PASSWORD_BYTES, PASSWORD_FILES, ensure_credentials
from blendnet.security.private_files import write_private
from blendnet.settings import Settings

log = logging.getLogger(__name__)

ACL_FILE = "redis.acl"
BROKER_PASSWORD_FILE = "broker-password"
PORTS_FILE = "ports.json"
"""In the data folder: agents that have joined look for the farm where they found it."""
ANY_ADDRESS = ("", "0.0.0.0", "::")


@dataclass(frozen=True)
class Ports:
    """Where other machines find the farm. 0: not chosen yet."""

    api: int = 0
    broker: int = 0


def prepare(settings: Settings, folder: DataFolder, security: Path, socket_path: Path) -> tuple[Ports, Outside]:
    """Make what is missing of all that Redis and the API need to serve other machines on `settings.listen`.

    Redis lets nobody in yet but the farm's own processes: who else may come, the ledger knows.

    Raises:
        FarmError: a port that agents know is used by something else, or the address is not one of this machine.
    """
    ensure_credentials(security, owner_hash=settings.owner_hash)
    password_file = security / BROKER_PASSWORD_FILE
    if not password_file.exists():
        write_private(password_file, secrets.token_urlsafe(PASSWORD_BYTES).encode() + b"\n")
    ports = _ports(settings, folder.root / PORTS_FILE)
    outside = Outside(
        host=settings.listen,
        port=ports.broker,
        certificate=ensure_server_certificate(security, [*addresses(settings), *_cloud_address_now(settings)]),
        acl_file=security / ACL_FILE,
        password_file=password_file,
    )
    users(socket_path, outside, security).write()
    return ports, outside


def users(socket_path: Path, outside: Outside, security: Path) -> BrokerUsers:
    """The users of that Redis."""
    return BrokerUsers(socket_path, outside, local_password_file=security / PASSWORD_FILES[AGENT])


def addresses(settings: Settings) -> list[str]:
    """Names and addresses under which other machines may reach this one, the best first."""
    public = [address.strip() for address in settings.public_addresses.split(",") if address.strip()]
    own = _own_addresses() if settings.listen in ANY_ADDRESS else [settings.listen]
    return list(dict.fromkeys([*public, *own]))


def public_url(settings: Settings, port: int) -> str:
    """Where others reach the Manager. In a cloud that is an address inside it: agents come from there."""
    return url_of(addresses(settings)[0], port)


def url_of(address: str, port: int) -> str:
    """Address of an API."""
    return f"https://{f'[{address}]' if ':' in address else address}:{port}"


def cloud_address(settings: Settings) -> str:
    """This machine's public address, as its cloud says; '' outside of clouds, and when it has none.

    Raises NoticeUnknown.
    """
    if not settings.manager_cloud:
        return ""
    return public_address(settings.manager_cloud, settings.notice_url or SERVICE_URL)


def _cloud_address_now(settings: Settings) -> list[str]:
    """The same as far as the cloud says it: a start must not fail by that."""
    try:
        found = cloud_address(settings)
    except NoticeUnknown as error:
        log.warning("the certificate does not name this machine's public address yet: %s", error)
        return []
    return [found] if found else []


def _own_addresses() -> list[str]:
    """This machine's addresses: those that others can use first."""
    found = [
        ipaddress.ip_address(address.address.partition("%")[0])
        for interface in psutil.net_if_addrs().values()
        for address in interface
        if address.family in (socket.AF_INET, socket.AF_INET6)
    ]
    usable = [address for address in found if not address.is_link_local]
    return [str(address) for address in sorted(usable, key=lambda address: (address.is_loopback, address.version))]


def _ports(settings: Settings, path: Path) -> Ports:
    """The ports that the settings name, else those of last time, else free ones; written down for the next time."""
    last = _read(path)
    ports = Ports(*_chosen(settings.listen, (settings.api_port or last.api, settings.broker_port or last.broker)))
    if ports != last:
        write_private(path, json.dumps(asdict(ports)).encode())
    return ports


def _chosen(host: str, wanted: Iterable[int]) -> list[int]:
    """Those ports, free ones in the place of 0. Raises FarmError when one cannot be had."""
    with contextlib.ExitStack() as stack:
        return [stack.enter_context(_bound(host, port)).getsockname()[1] for port in wanted]


def _bound(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise FarmError(
            f"cannot listen on {host} port {port}: {error}. Agents look for the farm there; --listen names another "
            "address, BLENDNET_API_PORT and BLENDNET_BROKER_PORT other ports"
        ) from error


def _read(path: Path) -> Ports:
    try:
        return Ports(**json.loads(path.read_text("utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return Ports()
