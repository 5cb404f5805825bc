"""PURE: the user data (cloud-init) by which a fresh machine becomes an agent. It knows no cloud and reads nothing.

Of a machine from a worker image it says only who it is; a stock Debian 12 is told to make itself one first. It is JSON,
which is YAML that no name can break out of.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from blendnet.errors import UserError

HEADER = "#cloud-config\n"
LIMIT_BYTES = 16 << 10
"""What AWS takes; others take more."""

AGENT_FILE = "/etc/blendnet/agent.env"
"""Read by blendnet-agent.service and by the self-destruction."""
CA_FILE = "/etc/blendnet/ca.crt"
TOKEN_FILE = "/run/blendnet/token"
FETCH_FILE = "/run/blendnet-fetch.py"
"""Not in /run/blendnet, which belongs to the agent."""
BUNDLE_FOLDER = "/var/lib/blendnet-bundle"
ARCHIVE = f"{BUNDLE_FOLDER}/bundle.tar.gz"
AGENT_UNIT = "blendnet-agent.service"
WATCH_UNIT = "blendnet-self-destruct.timer"
UNBORN_UNIT = "blendnet-unborn"
"""Ends a stock machine that did not become an agent in time."""

SILENCE_S = 900
UNBORN_S = 2700

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""A label of a host name: fits what clouds allow."""
TOKEN = re.compile(r"[A-Za-z0-9_.~+/=-]{1,2048}")
SHA256 = re.compile(r"[0-9a-f]{64}")
URL = re.compile(r"https://[A-Za-z0-9._~:/?#@!$&()*+,;=%\[\]-]{1,2000}")
PEM = re.compile(r"-----BEGIN CERTIFICATE-----\n(?:[A-Za-z0-9+/=]{1,76}\n)+-----END CERTIFICATE-----\n?")
NOTICES = ("", "aws", "gcp", "azure")

FETCH = """\
import hashlib, http.client, ssl, sys, time, urllib.request
for wait in (5, 10, 20, 40, 60, 60, 0):
    try:
        trusted = ssl.create_default_context(cafile=ca or None)
        with urllib.request.urlopen(url, timeout=60, context=trusted) as answer:
            data = answer.read(1 << 28)
        break
    except (OSError, http.client.HTTPException) as error:
        print("cannot fetch the bundle:", error, flush=True)
        time.sleep(wait)
else:
    sys.exit("gave up")
found = hashlib.sha256(data).hexdigest()
if found != sha256:
    sys.exit("the bundle has the SHA-256 %s, not %s: refused" % (found, sha256))
with open(target, "wb") as file:
    file.write(data)
"""
"""Fetches the bundle on a machine that has no more than cloud-init's Python. Its values stand in the line before:
a signed address is nothing for a command line."""


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


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """What a stock Debian is made into an agent from (worker_image/bundle.sh)."""

    url: str
    """https:// only."""
    sha256: str
    pinned: bool = False
    """It is the Manager's own: its server is held against the farm's authority instead of the world's."""
    gpu: bool = False
    """Install the driver of NVIDIA's GPUs, too."""


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
    if bundle is not None:
        _check_bundle(bundle)
    document = {
        "write_files": [*_identity_files(identity, notice, lifetime_s, silence_s), *_stock_files(bundle)],
        "runcmd": [*_stock_commands(bundle), *_start_commands(bundle)],
    }
    text = HEADER + json.dumps(document, indent=1, ensure_ascii=True) + "\n"
    if len(text) > LIMIT_BYTES:
        raise UserError(f"the user data of {identity.name} has {len(text)} bytes; clouds take {LIMIT_BYTES}")
    return text


def _check(identity: Identity, notice: str, lifetime_s: int, silence_s: int) -> None:
    _match(NAME, identity.name, "is no name for a machine: up to 63 small letters, digits and '-'")
    _check_url(identity.manager_url, "the Manager's address")
    _match(TOKEN, identity.token, "is no join token", shown="what was given")
    _match(PEM, identity.ca_pem, "is no certificate (PEM)", shown="the CA certificate")
    if notice not in NOTICES:
        raise UserError(f"{notice!r} announces no preemptions: one of aws, gcp, azure")
    if lifetime_s <= 0 or silence_s <= 0:
        raise UserError(f"a machine has to live: lifetime {lifetime_s} s, silence {silence_s} s")


def _check_bundle(bundle: Bundle) -> None:
    _check_url(bundle.url, "the bundle's address")
    _match(SHA256, bundle.sha256, "is no SHA-256: 64 hexadecimal digits, small letters")


def _check_url(url: str, what: str) -> None:
    _match(URL, url, f"is not {what}: https://...")
    try:
        whole = bool(urlsplit(url).hostname) and urlsplit(url).port != 0
    except ValueError:
        whole = False
    if not whole:
        raise UserError(f"{url!r} is not {what}: it names no host")


def _match(pattern: re.Pattern[str], text: str, complaint: str, *, shown: str = "") -> None:
    if pattern.fullmatch(text) is None:
        raise UserError(f"{shown or repr(text[:80])} {complaint}")


def _file(path: str, content: str, permissions: str) -> dict[str, object]:
    return {"path": path, "permissions": permissions, "owner": "root:root", "content": content}


def _identity_files(identity: Identity, notice: str, lifetime_s: int, silence_s: int) -> list[dict[str, object]]:
    values = {
        "BLENDNET_JOIN_URL": identity.manager_url,
        "BLENDNET_JOIN_NAME": identity.name,
        "BLENDNET_NOTICE": notice,
        "BLENDNET_LIFETIME_S": lifetime_s,
        "BLENDNET_SILENCE_S": silence_s,
    }
    # systemd reads quoted values as they are but for '\' and '"', which nothing above may hold.
    lines = "".join(f'{name}="{value}"\n' for name, value in values.items())
    return [
        _file(AGENT_FILE, lines, "0644"),
        _file(CA_FILE, identity.ca_pem, "0644"),
        _file(TOKEN_FILE, identity.token, "0600"),
    ]


def _stock_files(bundle: Bundle | None) -> list[dict[str, object]]:
    if bundle is None:
        return []
    values = [bundle.url, bundle.sha256, ARCHIVE, CA_FILE if bundle.pinned else ""]
    return [_file(FETCH_FILE, f"url, sha256, target, ca = {json.dumps(values)}\n{FETCH}", "0600")]


def _stock_commands(bundle: Bundle | None) -> list[list[str]]:
    """Make a worker of a stock Debian; it ends if that does not work."""
    if bundle is None:
        return []
    end = ["systemctl", "--no-block", "poweroff"]
    install = f"{BUNDLE_FOLDER}/worker_image/install.sh{' --gpu' if bundle.gpu else ''}"
    return [
        ["systemd-run", f"--unit={UNBORN_UNIT}", f"--on-active={UNBORN_S}", *end],
        ["mkdir", "-p", BUNDLE_FOLDER],
        ["python3", FETCH_FILE],
        ["tar", "-xzf", ARCHIVE, "-C", BUNDLE_FOLDER, "--no-same-owner"],
        ["bash", "-c", f"{install} || {' '.join(end)}"],
    ]


def _start_commands(bundle: Bundle | None) -> list[list[str]]:
    born = [] if bundle is None else [["systemctl", "stop", f"{UNBORN_UNIT}.timer"]]
    return [
        ["chown", "-R", "blendnet:blendnet", "/run/blendnet"],
        ["systemctl", "enable", "--now", WATCH_UNIT, AGENT_UNIT],
        *born,
    ]
