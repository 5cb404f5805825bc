"""PURE: what all user data have in common: files, commands, checks of what goes into them, and both ways to write them.

It is JSON, which is YAML that no name can break out of.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from blendnet.errors import UserError

HEADER = "#cloud-config\n"
LIMIT_BYTES = 16 << 10
"""What EC2 takes; others take more."""
DONE_FILE = "/var/lib/blendnet-user-data-done"
"""A start-up script runs at every boot, and does its work at the first."""

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""A label of a host name: fits what clouds allow."""
URL = re.compile(r"https://[A-Za-z0-9._~:/?#@!$&()*+,;=%\[\]-]{1,2000}")
_VALUE = re.compile(r"[ !#-\[\]-~]*")
"""What YAML and, between double quotes, systemd read as it is: ASCII without '"', '\\' and line ends."""
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


@dataclass(frozen=True)
class File:
    """A file that is to be on the machine."""

    path: str
    content: str
    permissions: str
    """As '0644'; root owns it."""


def cloud_config(files: Sequence[File], commands: Sequence[Sequence[str]], *, whose: str) -> str:
    """The user data that write these files and then run these commands at the first boot.

    Raises UserError when all together is too long. `whose`: of which machine, for people.
    """
    document = {
        "write_files": [
            {"path": f.path, "permissions": f.permissions, "owner": "root:root", "content": f.content} for f in files
        ],
        "runcmd": [[*command] for command in commands],
    }
    text = HEADER + json.dumps(document, indent=1, ensure_ascii=True) + "\n"
    if len(text) > LIMIT_BYTES:
        raise UserError(f"the user data of {whose} has {len(text)} bytes; clouds take {LIMIT_BYTES}")
    return text


def startup_script(user_data: str) -> str:
    """What `cloud_config` has made, as a script, for images without cloud-init (Google's Debian). May run at each boot.

    Like cloud-init it goes on after a command that fails.
    """
    document = json.loads(user_data.removeprefix(HEADER))
    lines = ["#!/bin/bash", f"[ ! -e {DONE_FILE} ] || exit 0", "set -u", "umask 022"]
    for file in document["write_files"]:
        path, coded = shlex.quote(file["path"]), base64.b64encode(file["content"].encode()).decode("ascii")
        lines += [
            f"mkdir -p {shlex.quote(file['path'].rpartition('/')[0])}",
            f"install -m {file['permissions']} /dev/null {path}",
            f"base64 -d >{path} <<'EOF'\n{coded}\nEOF",
        ]
    lines += [shlex.join(command) for command in document["runcmd"]]
    return "\n".join([*lines, f"touch {DONE_FILE}", ""])


def environment_file(path: str, values: Mapping[str, object], permissions: str) -> File:
    """A file of variables as systemd reads it. Raises UserError for a name or value that cannot stand there."""
    for name, value in values.items():
        match(_VARIABLE, name, "is no name of a variable")
        match(_VALUE, str(value), "cannot stand in a file of variables", shown=f"the value of {name}")
    return File(path, "".join(f'{name}="{value}"\n' for name, value in values.items()), permissions)


def check_url(url: str, what: str) -> None:
    """Raise UserError unless `url` is https:// and names a host."""
    match(URL, url, f"is not {what}: https://...")
    try:
        whole = bool(urlsplit(url).hostname) and urlsplit(url).port != 0
    except ValueError:
        whole = False
    if not whole:
        raise UserError(f"{url!r} is not {what}: it names no host")


def match(pattern: re.Pattern[str], text: str, complaint: str, *, shown: str = "") -> None:
    """Raise UserError with the complaint unless all of `text` fits. `shown`: instead of the text, which is a secret."""
    if pattern.fullmatch(text) is None:
        raise UserError(f"{shown or repr(text[:80])} {complaint}")
