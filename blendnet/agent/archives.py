"""Installing Blender as the archive that blender.org publishes for Linux: fetched, held against its hash, unpacked."""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import re
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

from blendnet.agent.wheels import Progress, partial_build
from blendnet.errors import BlenderMissing, BlenderUnfetched, DiskFull

NAME = re.compile(r"blender-(\d+\.\d+\.\d+)-linux-?x?64\.tar\.xz")
"""'blender-4.2.1-linux-x64.tar.xz', up to 2.92 'blender-2.83.5-linux64.tar.xz'."""
HASH_LINE = re.compile(r"^([0-9a-f]{64})\s+\*?(\S+)\s*$", re.MULTILINE)
HOME = ("localhost", "127.0.0.1", "::1")
TIMEOUT_S = 60.0
READ_BYTES = 1 << 20
TEXT_LIMIT_BYTES = 4 << 20
"""Folder listings and lists of hashes are shorter."""
PASSING_STATUS = (408, 429)
"""Answers besides 5xx that say that another time may do."""
PASSING_ERRNO = (errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH)


def install(version: str, folder: Path, *, mirror: str, progress: Progress, sha256: str = "", url: str = "") -> Path:
    """Install the archive of `version` ('4.2': its newest, '4.2.1') into folder/<full version>; return its program.

    `mirror`: folder of blender.org's releases or a copy of it. `url`: the archive itself, wherever it is; with it
    `sha256` has to be known, else the hash is the one that the mirror publishes, read over TLS.
    Raises BlenderMissing (no such archive, another hash), BlenderUnfetched (no answer, a broken one), DiskFull.
    """
    if not offered():
        raise BlenderMissing("blender.org's archives are for Linux on x86-64: install Blender, and name its program")
    with _speaking_of(version), partial_build(folder) as partial:
        address = url or _address(version, mirror)
        name = file_name(address)
        expected = sha256 or _published(address, name)
        archive = partial / "archive"
        found = _download(address, archive, lambda share: progress(f"downloading {name}", share))
        if found != expected:
            raise BlenderMissing(f"{address} has the SHA-256 {found}, not {expected}: refused")
        progress(f"unpacking {name}", None)
        return _keep(_unpacked(archive, partial / "blender"), folder / full_version(name, version))


def offered() -> bool:
    """True when this is a machine on which blender.org's archives are installed."""
    return sys.platform.startswith("linux") and os.uname().machine == "x86_64"


def folder_of(version: str, mirror: str) -> str:
    """Where the releases of '4.2' and '4.2.1' are. PURE."""
    return f"{mirror.rstrip('/')}/Blender{'.'.join(version.split('.')[:2])}/"


def newest(listing: str, version: str) -> str:
    """Name of the newest archive of a version in the listing of its folder; '' when there is none. PURE."""
    found = {match[1]: match[0] for match in NAME.finditer(listing)}
    fitting = [full for full in found if full == version or full.startswith(version + ".")]
    return found[max(fitting, key=_order)] if fitting else ""


def published_hash(text: str, name: str) -> str:
    """The SHA-256 of a file in a list of them; '' when it is not there. PURE."""
    return next((match[1] for match in HASH_LINE.finditer(text) if match[2] == name), "")


def file_name(address: str) -> str:
    """'blender-4.2.1-linux-x64.tar.xz' of its address. PURE."""
    return unquote(urlsplit(address).path.rpartition("/")[2])


def full_version(name: str, version: str) -> str:
    """'4.2.1' of an archive's name, else the version asked for. PURE."""
    match = NAME.fullmatch(name)
    return match[1] if match else version


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _address(version: str, mirror: str) -> str:
    folder = folder_of(version, mirror)
    if name := newest(_text(folder), version):
        return folder + name
    raise BlenderMissing(f"there is no archive of Blender {version} for Linux in {folder}")


def _published(address: str, name: str) -> str:
    """The hash that is published beside an archive."""
    source = f"{address.rpartition('/')[0]}/blender-{full_version(name, '')}.sha256"
    if not _trusted(source):
        raise BlenderMissing(f"{source} does not come over TLS: name the hash with --sha256, or an https:// mirror")
    if known := published_hash(_text(source), name):
        return known
    raise BlenderMissing(f"{source} holds no hash of {name}: name it with --sha256")


def _trusted(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in HOME)


def _text(address: str) -> str:
    with _opened(address) as answer:
        content = answer.read(TEXT_LIMIT_BYTES)
        if len(content) < TEXT_LIMIT_BYTES:
            _check_whole(answer, address)
        return content.decode("utf-8", "replace")


def _download(address: str, target: Path, tell: Callable[[float | None], None]) -> str:
    """Fetch a file; returns its SHA-256."""
    digest, done = hashlib.sha256(), 0
    with _opened(address) as answer, target.open("wb") as file:
        size = int(answer.headers.get("Content-Length") or 0)
        while data := answer.read(READ_BYTES):
            digest.update(data)
            file.write(data)
            done += len(data)
            tell(done / size if size else None)
        _check_whole(answer, address)
    return digest.hexdigest()


def _check_whole(answer: http.client.HTTPResponse, address: str) -> None:
    """Raise BlenderUnfetched for an answer that ended too soon: reading does not tell."""
    if answer.length:
        raise BlenderUnfetched(f"{address} broke off, {answer.length} bytes are missing")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """A mirror may send us elsewhere, but never from TLS over something that anybody can change."""

    def __init__(self, address: str) -> None:
        self._address = address

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Raise BlenderMissing instead of asking an address that proves nothing."""
        fp.close()
        _check_web(newurl)
        if _trusted(self._address) and not _trusted(newurl):
            raise BlenderMissing(f"{self._address} leads to {newurl}, which does not come over TLS")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_web(address: str) -> None:
    if urlsplit(address).scheme not in ("http", "https"):
        raise BlenderMissing(f"{address} is no address of the web")


@contextmanager
def _opened(address: str) -> Iterator[http.client.HTTPResponse]:
    _check_web(address)
    try:
        with urllib.request.build_opener(_Redirects(address)).open(address, timeout=TIMEOUT_S) as answer:
            yield answer
    except urllib.error.HTTPError as error:
        error.close()
        raise


def _unpacked(archive: Path, target: Path) -> Path:
    target.mkdir()
    command = ["tar", "--extract", "--xz", "--no-same-owner", "--strip-components=1", "-C", str(target)]
    done = subprocess.run([*command, "-f", str(archive)], capture_output=True, text=True, check=False)
    if "No space left on device" in done.stderr:
        raise DiskFull(f"no space left on the device to unpack Blender in {target.parent.parent}")
    if done.returncode != 0 or not (target / "blender").is_file():
        raise BlenderMissing(f"the archive cannot be unpacked: {done.stderr.strip()[-500:] or 'no blender in it'}")
    return target


def _keep(unpacked: Path, final: Path) -> Path:
    """Give a complete build its name; one that another process finished first is as good."""
    try:
        unpacked.rename(final)
    except OSError:
        if not (final / "blender").is_file():
            raise
    return final / "blender"


@contextmanager
def _speaking_of(version: str) -> Iterator[None]:
    """Errors of the network and the disk become ours."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no space left on the device for Blender {version}") from error
        kind = BlenderUnfetched if _may_pass(error) else BlenderMissing
        raise kind(f"Blender {version} cannot be fetched: {error}") from error
    except http.client.HTTPException as error:
        kind = BlenderMissing if isinstance(error, http.client.InvalidURL) else BlenderUnfetched
        raise kind(f"Blender {version} cannot be fetched: {error!r}") from error


def _may_pass(error: OSError) -> bool:
    """Whether another try may do: the network or the mirror failed, not this machine. PURE."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code >= 500 or error.code in PASSING_STATUS
    if isinstance(error, urllib.error.URLError):
        return isinstance(error.reason, OSError) and not isinstance(error.reason, ssl.SSLCertVerificationError)
    return isinstance(error, ConnectionError | TimeoutError | ssl.SSLError) or error.errno in PASSING_ERRNO
