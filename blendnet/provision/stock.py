"""PURE: how a stock Debian 12 is made into a part of the farm: it fetches the bundle, proves it, runs install.sh."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from blendnet.provision.cloud_init import File, check_url, match

FETCH_FILE = "/run/blendnet-fetch.py"
"""Not in /run/blendnet, which belongs to the agent."""
BUNDLE_FOLDER = "/var/lib/blendnet-bundle"
ARCHIVE = f"{BUNDLE_FOLDER}/bundle.tar.gz"
UNBORN_UNIT = "blendnet-unborn.service"
"""Ends a stock machine that did not become what it is to be in time."""
UNBORN_S = 2700
UNBORN = f"""\
[Unit]
Description=End this machine unless it becomes a part of a BlendNet farm
[Service]
ExecStart=/bin/sh -c "sleep {UNBORN_S}; systemctl is-active -q blendnet-manager blendnet-agent || systemctl poweroff"
[Install]
WantedBy=multi-user.target
"""
"""At each boot until it is disabled: clouds stop a Manager's machine that powers itself off, and somebody may start it
again, when nothing else on it would ever end it."""

SHA256 = re.compile(r"[0-9a-f]{64}")
TOKEN_URL = re.compile(r"http://[A-Za-z0-9.:-]{1,200}/[A-Za-z0-9/._-]{0,300}")

FETCH = """\
import hashlib, http.client, json, ssl, sys, time, urllib.request
def asked():
    request = urllib.request.Request(url)
    if token_url:
        who = urllib.request.Request(token_url, headers={"Metadata-Flavor": "Google"})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(who, timeout=10) as answer:
            request.add_unredirected_header("Authorization", "Bearer " + json.load(answer)["access_token"])
    return request
for wait in (5, 10, 20, 40, 60, 60, 0):
    try:
        trusted = ssl.create_default_context(cafile=ca or None)
        with urllib.request.urlopen(asked(), timeout=60, context=trusted) as answer:
            data = answer.read(1 << 28)
        break
    except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
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
class Bundle:
    """What a stock Debian is made into a part of the farm from (worker_image/bundle.sh)."""

    url: str
    """https:// only."""
    sha256: str
    pinned: bool = False
    """It is the Manager's own: its server is held against the farm's authority instead of the world's."""
    gpu: bool = False
    """Install the driver of NVIDIA's GPUs, too."""
    token_url: str = ""
    """Where the machine gets a token of its own identity to show with the request (Google's metadata server, whose
    answer is JSON with `access_token`); '': the address says all, as a signed one does."""


def check_bundle(bundle: Bundle) -> None:
    """Raise UserError when something in it cannot be right."""
    check_url(bundle.url, "the bundle's address")
    match(SHA256, bundle.sha256, "is no SHA-256: 64 hexadecimal digits, small letters")
    if bundle.token_url:
        match(TOKEN_URL, bundle.token_url, "is no address of a metadata server: http://HOST/PATH")


def stock_files(bundle: Bundle, ca_file: str) -> list[File]:
    """What the machine needs to fetch the bundle, and to end when that comes to nothing.

    `ca_file`: where the farm's authority is, if that alone counts.
    """
    values = [bundle.url, bundle.sha256, ARCHIVE, ca_file, bundle.token_url]
    return [
        File(FETCH_FILE, f"url, sha256, target, ca, token_url = {json.dumps(values)}\n{FETCH}", "0600"),
        File(f"/etc/systemd/system/{UNBORN_UNIT}", UNBORN, "0644"),
    ]


def stock_commands(*options: str) -> list[Sequence[str]]:
    """Run install.sh with these options; the machine ends if that does not work, or takes too long."""
    end = ["systemctl", "--no-block", "poweroff"]
    install = " ".join([f"{BUNDLE_FOLDER}/worker_image/install.sh", *options])
    return [
        ["systemctl", "enable", "--now", UNBORN_UNIT],
        ["mkdir", "-p", BUNDLE_FOLDER],
        ["python3", FETCH_FILE],
        ["tar", "-xzf", ARCHIVE, "-C", BUNDLE_FOLDER, "--no-same-owner"],
        ["bash", "-c", f"{install} || {' '.join(end)}"],
    ]


BORN: Sequence[str] = ("systemctl", "disable", "--now", UNBORN_UNIT)
"""The machine is what it was to be."""
