"""PURE: the user data (cloud-init) by which a fresh machine becomes an agent. It knows no cloud and reads nothing.

Of a machine from a worker image it says only who it is; a stock Debian 12 is told to make itself one first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from blendnet.errors import UserError
from blendnet.provision.cloud_init import NAME, File, check_url, cloud_config, environment_file, match
from blendnet.provision.stock import BORN, Bundle, check_bundle, stock_commands, stock_files

AGENT_FILE = "/etc/blendnet/agent.env"
"""Read by blendnet-agent.service and by the self-destruction."""
CA_FILE = "/etc/blendnet/ca.crt"
TOKEN_FILE = "/run/blendnet/token"
AGENT_UNIT = "blendnet-agent.service"
WATCH_UNIT = "blendnet-self-destruct.timer"

SILENCE_S = 900

TOKEN = re.compile(r"[A-Za-z0-9_.~+/=-]{1,2048}")
PEM = re.compile(r"-----BEGIN CERTIFICATE-----\n(?:[A-Za-z0-9+/=]{1,76}\n)+-----END CERTIFICATE-----\n?")
NOTICES = ("", "aws", "gcp", "azure")


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who an agent is, and how it proves that once."""

    name: str
    manager_url: str
    """https://host:port."""
    ca_pem: str
    """Certificate of the farm's authority: no other is trusted."""
    token: str
    """One-time token for joining: worth nothing afterwards, and soon."""


def user_data(
    identity: Identity,
    *,
    lifetime_s: int,
    silence_s: int = SILENCE_S,
    notice: str = "",
    bundle: Bundle | None = None,
) -> str:
    """The user data of one agent's machine. `bundle` None: it starts from a worker image.

    `notice`: cloud whose metadata service announces that the machine is taken back. The machine ends itself after
    `lifetime_s`, and when the Manager is silent for `silence_s`.
    Raises UserError when something in it cannot be right, or all together is too long.
    """
    _check(identity, notice, lifetime_s, silence_s)
    files = _identity_files(identity, notice, lifetime_s, silence_s)
    start: list[Sequence[str]] = [
        ["chown", "-R", "blendnet:blendnet", "/run/blendnet"],
        ["systemctl", "enable", "--now", WATCH_UNIT, AGENT_UNIT],
    ]
    if bundle is None:
        return cloud_config(files, start, whose=identity.name)
    check_bundle(bundle)
    files += stock_files(bundle, CA_FILE if bundle.pinned else "")
    install = stock_commands(*(["--gpu"] if bundle.gpu else []))
    return cloud_config(files, [*install, *start, BORN], whose=identity.name)


def _check(identity: Identity, notice: str, lifetime_s: int, silence_s: int) -> None:
    match(NAME, identity.name, "is no name for a machine: up to 63 small letters, digits and '-'")
    check_url(identity.manager_url, "the Manager's address")
    match(TOKEN, identity.token, "is no join token", shown="what was given")
    match(PEM, identity.ca_pem, "is no certificate (PEM)", shown="the CA certificate")
    if notice not in NOTICES:
        raise UserError(f"{notice!r} announces no preemptions: one of aws, gcp, azure")
    if lifetime_s <= 0 or silence_s <= 0:
        raise UserError(f"a machine has to live: lifetime {lifetime_s} s, silence {silence_s} s")


def _identity_files(identity: Identity, notice: str, lifetime_s: int, silence_s: int) -> list[File]:
    values = {
        "BLENDNET_JOIN_URL": identity.manager_url,
        "BLENDNET_JOIN_NAME": identity.name,
        "BLENDNET_NOTICE": notice,
        "BLENDNET_LIFETIME_S": lifetime_s,
        "BLENDNET_SILENCE_S": silence_s,
    }
    return [
        environment_file(AGENT_FILE, values, "0644"),
        File(CA_FILE, identity.ca_pem, "0644"),
        File(TOKEN_FILE, identity.token, "0600"),
    ]
