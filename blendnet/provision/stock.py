"""PURE: how a stock Debian 12 is made into a part of the farm: it fetches the bundle, proves it, runs install.sh."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from blendnet.provision.cloud_init import NAME, File, check_url, match

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
import hashlib, hmac, http.client, json, os, ssl, sys, time, urllib.error, urllib.parse, urllib.request
expired = False
def service(url, method="GET", **headers):
    request = urllib.request.Request(url, headers={n.replace("_", "-"): v for n, v in headers.items()}, method=method)
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10).read().decode()
def asked():
    if expired and role_url:
        return signed()
    request = urllib.request.Request(url)
    if token_url:
        token = json.loads(service(token_url, Metadata_Flavor="Google"))["access_token"]
        request.add_unredirected_header("Authorization", "Bearer " + token)
    return request
def signed():
    mark = service(role_url + "/api/token", "PUT", X_aws_ec2_metadata_token_ttl_seconds="60")
    roles = role_url + "/meta-data/iam/security-credentials/"
    role = service(roles, X_aws_ec2_metadata_token=mark).split()[0]
    keys = json.loads(service(roles + role, X_aws_ec2_metadata_token=mark))
    now, place = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()), urllib.parse.urlsplit(url)
    scope = [now[:8], region, "s3", "aws4_request"]
    given = {"host": place.netloc, "x-amz-content-sha256": hashlib.sha256().hexdigest(), "x-amz-date": now,
             "x-amz-security-token": keys["Token"]}
    plain = ["GET", place.path, "", *(n + ":" + v for n, v in given.items()), "", ";".join(given),
             given["x-amz-content-sha256"]]
    digest = hashlib.sha256("\\n".join(plain).encode()).hexdigest()
    text = "\\n".join(["AWS4-HMAC-SHA256", now, "/".join(scope), digest])
    key = ("AWS4" + keys["SecretAccessKey"]).encode()
    for word in [*scope, text]:
        key = hmac.new(key, word.encode(), "sha256").digest()
    given["Authorization"] = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (
        keys["AccessKeyId"], "/".join(scope), ";".join(given), key.hex())
    return urllib.request.Request(place._replace(query="").geturl(), headers=given)
if os.path.exists(target):
    with open(target, "rb") as file:
        if hashlib.sha256(file.read()).hexdigest() == sha256:
            sys.exit(0)
for wait in (5, 10, 20, 40, 60, 60, 0):
    try:
        trusted = ssl.create_default_context(cafile=ca or None)
        with urllib.request.urlopen(asked(), timeout=60, context=trusted) as answer:
            data = answer.read()
        break
    except (OSError, ValueError, KeyError, IndexError, http.client.HTTPException) as error:
        expired = getattr(error, "code", 0) in (400, 403)
        print("cannot fetch the bundle:", error, flush=True)
        time.sleep(wait)
else:
    sys.exit("gave up")
found = hashlib.sha256(data).hexdigest()
if found != sha256:
    print("the bundle has the SHA-256 %s, not %s: refused" % (found, sha256), file=sys.stderr)
    sys.exit(REFUSED)
with open(target, "wb") as file:
    file.write(data)
"""
"""Fetches the bundle on a machine that has no more than cloud-init's Python. Its values stand in the line before:
a signed address is nothing for a command line. An address of S3 that has expired (403, or 400 where the login that
signed it has) is asked for as the machine's role."""
REFUSED = 3
"""Its exit status for a bundle that is another one."""

BECOME_UNIT = "blendnet-become.service"
"""Makes a machine that is to last what it is to be: a first boot that failed is gone on with."""
BECOME_FILE = f"{BUNDLE_FOLDER}/become.sh"
BECOME_FETCH_FILE = f"{BUNDLE_FOLDER}/fetch.py"
"""It outlives a boot."""
AGAIN_S = 60
FETCHING = "fetch the bundle"
"""The step that alone knows REFUSED: what install.sh calls may end with any status."""
BECOME = f"""\
[Unit]
Description=Make this machine a part of a BlendNet farm
Wants=network-online.target
After=network-online.target
[Service]
Type=oneshot
ExecStart=/bin/bash {BECOME_FILE}
Restart=on-failure
RestartSec={AGAIN_S}
StandardOutput=journal+console
StandardError=journal+console
[Install]
WantedBy=multi-user.target
"""
STEP = f"""\
#!/bin/bash
# Run again and again until all has worked; each try goes on where the one before broke off.
step() {{
  local what=$1 status
  shift
  "$@" && return
  status=$?
  [ "$what: $status" != "{FETCHING}: {REFUSED}" ] || systemctl --no-block poweroff
  echo "blendnet: NOT ready: cannot $what (status $status). It is tried again in {AGAIN_S} s, and at each start"
  exit "$status"
}}
"""


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
    role_url: str = ""
    """EC2's metadata service: when the address has expired, the machine asks S3 as the role that it has."""
    region: str = ""
    """Of S3, for that."""


def check_bundle(bundle: Bundle) -> None:
    """Raise UserError when something in it cannot be right."""
    check_url(bundle.url, "the bundle's address")
    match(SHA256, bundle.sha256, "is no SHA-256: 64 hexadecimal digits, small letters")
    if bundle.role_url:
        match(TOKEN_URL, bundle.role_url, "is no address of a metadata server: http://HOST/PATH")
        match(NAME, bundle.region, "is no region")
    if bundle.token_url:
        match(TOKEN_URL, bundle.token_url, "is no address of a metadata server: http://HOST/PATH")


def stock_files(bundle: Bundle, ca_file: str) -> list[File]:
    """What the machine needs to fetch the bundle, and to end when that comes to nothing.

    `ca_file`: where the farm's authority is, if that alone counts.
    """
    return [_fetch_file(FETCH_FILE, bundle, ca_file), _unit(UNBORN_UNIT, UNBORN)]


def stock_commands(*options: str) -> list[Sequence[str]]:
    """Run install.sh with these options; the machine ends if that does not work, or takes too long."""
    end = ["systemctl", "--no-block", "poweroff"]
    install = " ".join([INSTALL, *options])
    return [
        ["systemctl", "enable", "--now", UNBORN_UNIT],
        ["mkdir", "-p", BUNDLE_FOLDER],
        ["python3", FETCH_FILE],
        UNPACK,
        ["bash", "-c", f"{install} || {' '.join(end)}"],
    ]


def lasting_files(bundle: Bundle, unit: str, *options: str) -> list[File]:
    """As `stock_files`, for a machine that lasts: it goes on until install.sh has worked and `unit` is started."""
    steps = {
        FETCHING: ["python3", BECOME_FETCH_FILE],
        "unpack the bundle": UNPACK,
        "install it": ["bash", INSTALL, *options],
        f"start {unit}": ["systemctl", "enable", "--now", unit],
        "keep the machine": BORN,
        "be done": ["systemctl", "disable", BECOME_UNIT],
    }
    script = STEP + "".join(f"step {shlex.join([what, *command])}\n" for what, command in steps.items())
    return [
        _fetch_file(BECOME_FETCH_FILE, bundle, ""),
        File(BECOME_FILE, script, "0700"),
        _unit(UNBORN_UNIT, UNBORN),
        _unit(BECOME_UNIT, BECOME),
    ]


INSTALL = f"{BUNDLE_FOLDER}/worker_image/install.sh"
UNPACK: Sequence[str] = ("tar", "-xzf", ARCHIVE, "-C", BUNDLE_FOLDER, "--no-same-owner")
BORN: Sequence[str] = ("systemctl", "disable", "--now", UNBORN_UNIT)
"""The machine is what it was to be."""
LASTING_COMMANDS: Sequence[Sequence[str]] = (
    ("systemctl", "enable", "--now", UNBORN_UNIT),
    ("systemctl", "enable", "--now", "--no-block", BECOME_UNIT),
)
"""What starts that at the first boot; later ones do it by themselves."""


def _fetch_file(path: str, bundle: Bundle, ca_file: str) -> File:
    values = [bundle.url, bundle.sha256, ARCHIVE, ca_file, bundle.token_url, bundle.role_url, bundle.region]
    line = f"url, sha256, target, ca, token_url, role_url, region = {json.dumps(values)}"
    return File(path, f"{line}\nREFUSED = {REFUSED}\n{FETCH}", "0600")


def _unit(name: str, text: str) -> File:
    return File(f"/etc/systemd/system/{name}", text, "0644")
