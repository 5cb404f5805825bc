"""Archives of Blender: from a mirror with published hashes, from an address with a given one, refused with another."""

from __future__ import annotations

import errno
import functools
import hashlib
import http.client
import http.server
import socket
import ssl
import tarfile
import threading
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from blendnet.agent import archives, blenders, wheels
from blendnet.agent.blenders import Build, Source
from blendnet.errors import BlenderMissing, BlenderUnfetched, DiskFull

LISTING = """<a href="blender-3.6.2-linux-x64.tar.xz">, <a href="blender-3.6.13-linux-x64.tar.xz">
<a href="blender-3.6.14-macos-arm64.dmg"> <a href="blender-3.6.15-windows-x64.zip">"""


def silent(_step: str, _share: float | None) -> None:
    """Tell nobody."""


class Mirror(http.server.SimpleHTTPRequestHandler):
    trouble: ClassVar[dict[str, str]] = {}
    """End of a path -> what becomes of the answer: a status, 'hangs up', 'breaks off'. Each once."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
            return
        end = next((end for end in self.trouble if self.path.endswith(end)), None)
        if end is None:
            super().do_GET()
        elif (what := self.trouble.pop(end)).isdigit():
            self.send_error(int(what))
        elif what == "breaks off":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"the first few bytes")


@contextmanager
def serving(folder: Path, host: str) -> Iterator[str]:
    """Address of a mirror of a folder."""
    handler = functools.partial(Mirror, directory=str(folder))
    server = http.server.ThreadingHTTPServer((host, 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://{host}:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    """Address of a mirror that has Blender 3.6.13, a small script."""
    (tmp_path / "mirror").mkdir()
    with serving(tmp_path / "mirror", "127.0.0.1") as address:
        yield address


@pytest.fixture
def open_mirror(tmp_path: Path, mirror: str) -> Iterator[str]:
    """The same under an address that anybody on the way could answer for."""
    with serving(tmp_path / "mirror", "127.0.0.2") as address:
        yield address


@pytest.fixture
def trouble(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What goes wrong on the mirrors."""
    monkeypatch.setattr(Mirror, "trouble", {})
    return Mirror.trouble


def publish(tmp_path: Path, version: str) -> Path:
    """Put an archive on the mirror, with its hash beside it."""
    program = tmp_path / "blender"
    program.write_text(f"#!/bin/sh\necho 'Blender {version}'\n")
    program.chmod(0o755)
    folder = tmp_path / "mirror" / f"Blender{version.rpartition('.')[0]}"
    folder.mkdir()
    archive = folder / f"blender-{version}-linux-x64.tar.xz"
    with tarfile.open(archive, "w:xz") as tar:
        tar.add(program, f"blender-{version}-linux-x64/blender")
    digest = digest_of(archive)
    (folder / f"blender-{version}.sha256").write_text(f"{'0' * 64}  other.zip\n{digest}  {archive.name}\n")
    return archive


@pytest.fixture
def release(tmp_path: Path, mirror: str) -> Path:
    """The archive of the mirror, with its hash published beside it."""
    return publish(tmp_path, "3.6.13")


def digest_of(archive: Path) -> str:
    return hashlib.sha256(archive.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("version", "name"),
    [("3.6", "blender-3.6.13-linux-x64.tar.xz"), ("3.6.2", "blender-3.6.2-linux-x64.tar.xz"), ("3.6.1", ""), ("3", "")],
)
def test_newest_compares_numbers_and_knows_linux(version: str, name: str) -> None:
    assert archives.newest(LISTING, version) == (name if version != "3" else "blender-3.6.13-linux-x64.tar.xz")


def test_newest_knows_the_old_name() -> None:
    assert archives.newest("blender-2.83.5-linux64.tar.xz", "2.83") == "blender-2.83.5-linux64.tar.xz"


def test_published_hash_belongs_to_the_name() -> None:
    text = f"{'a' * 64}  x.zip\n{'b' * 64} *y.tar.xz\n"
    assert archives.published_hash(text, "y.tar.xz") == "b" * 64
    assert archives.published_hash(text, "z.tar.xz") == ""


@pytest.mark.parametrize("version", ["3.6", "3.6.13"])
def test_install_takes_the_archive_where_there_is_no_wheel(
    version: str, tmp_path: Path, mirror: str, release: Path
) -> None:
    said: list[tuple[str, float | None]] = []
    builds = tmp_path / "builds"
    source = Source(mirror=mirror)
    build = blenders.install(version, builds, progress=lambda *step: said.append(step), source=source)
    assert build == Build("3.6.13", "binary", builds / "3.6.13" / "blender")
    assert blenders.installed(builds) == [build]
    assert said[0][0] == f"downloading {release.name}"
    assert said[-2][1] == 1.0
    release.unlink()
    assert blenders.install(version, builds, progress=silent, source=source) == build


def test_install_refuses_an_archive_that_was_changed(tmp_path: Path, mirror: str, release: Path) -> None:
    release.write_bytes(release.read_bytes() + b"\0")
    with pytest.raises(BlenderMissing, match=rf"has the SHA-256 {digest_of(release)}, not .*: refused"):
        blenders.install("3.6", tmp_path / "builds", progress=silent, source=Source(mirror=mirror))
    assert list((tmp_path / "builds").iterdir()) == []


def test_install_takes_an_address_with_its_hash(tmp_path: Path, mirror: str, release: Path) -> None:
    url = f"{mirror}/Blender3.6/{release.name}"
    build = blenders.install("3.6.13", tmp_path / "b", progress=silent, source=Source(digest_of(release), url))
    assert build.version == "3.6.13"
    with pytest.raises(BlenderMissing, match="refused"):
        blenders.install("3.6.13", tmp_path / "c", progress=silent, source=Source("0" * 64, url))


@pytest.mark.parametrize(
    ("version", "source", "words"),
    [
        ("3.6.13", Source(url="https://x.example/b.tar.xz"), "needs its SHA-256"),
        ("3.6.13", Source(sha256="AB"), "not a SHA-256"),
        ("3.6", Source(sha256="0" * 64), "name the full version"),
        ("3.6.13", Source(sha256="0" * 64, url="file:///etc/passwd"), "no address of the web"),
    ],
)
def test_install_refuses_a_source_that_proves_nothing(version: str, source: Source, words: str, tmp_path: Path) -> None:
    with pytest.raises(BlenderMissing, match=words):
        blenders.install(version, tmp_path, progress=silent, source=source)


def test_install_believes_no_hash_without_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_text", lambda _address: LISTING)
    with pytest.raises(BlenderMissing, match="does not come over TLS"):
        archives.install("3.6", tmp_path, mirror="http://mirror.example", progress=silent)


def test_install_follows_nobody_to_an_open_connection(tmp_path: Path, mirror: str) -> None:
    url = f"{mirror}/to/http://[::2]:9/"
    with pytest.raises(BlenderMissing, match=r"leads to http://\[::2\]:9/, which does not come over TLS"):
        archives.install("3.6.13", tmp_path, mirror="", progress=silent, sha256="0" * 64, url=url)


def test_install_follows_nobody_over_an_open_connection(
    tmp_path: Path, mirror: str, open_mirror: str, release: Path
) -> None:
    url = f"{mirror}/to/{open_mirror}/to/{mirror}/Blender3.6/{release.name}"
    with pytest.raises(BlenderMissing, match="does not come over TLS"):
        blenders.install("3.6.13", tmp_path / "b", progress=silent, source=Source(digest_of(release), url))


def test_install_is_led_on_from_an_open_mirror_that_a_person_named(
    tmp_path: Path, mirror: str, open_mirror: str, release: Path
) -> None:
    url = f"{open_mirror}/to/{mirror}/to/{open_mirror}/Blender3.6/{release.name}"
    build = blenders.install("3.6.13", tmp_path / "b", progress=silent, source=Source(digest_of(release), url))
    assert build.version == "3.6.13"


def test_install_follows_nobody_out_of_the_web(tmp_path: Path, open_mirror: str) -> None:
    url = f"{open_mirror}/to/ftp://127.0.0.1:9/x"
    with pytest.raises(BlenderMissing, match="no address of the web"):
        archives.install("3.6.13", tmp_path, mirror="", progress=silent, sha256="0" * 64, url=url)


def test_install_says_that_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(BlenderUnfetched, match=r"Blender 3\.6 cannot be fetched"):
        archives.install("3.6", tmp_path, mirror="http://127.0.0.1:9", progress=silent)


@pytest.mark.parametrize("what", ["408", "429", "500", "503", "hangs up", "breaks off"])
@pytest.mark.parametrize("end", ["/Blender3.6/", ".sha256", ".tar.xz"], ids=["listing", "hash", "archive"])
def test_install_tells_a_hiccup_of_the_mirror_from_a_refusal(
    tmp_path: Path, mirror: str, release: Path, trouble: dict[str, str], end: str, what: str
) -> None:
    trouble[end] = what
    source = Source(mirror=mirror)
    with pytest.raises(BlenderUnfetched):
        blenders.install("3.6", tmp_path / "builds", progress=silent, source=source)
    assert list((tmp_path / "builds").iterdir()) == []
    assert blenders.install("3.6", tmp_path / "builds", progress=silent, source=source).version == "3.6.13"


@pytest.mark.parametrize("status", ["403", "404", "410"])
def test_install_takes_a_refusal_of_the_mirror_for_its_last_word(
    tmp_path: Path, mirror: str, trouble: dict[str, str], status: str
) -> None:
    trouble["/Blender3.6/"] = status
    with pytest.raises(BlenderMissing, match=status) as caught:
        blenders.install("3.6", tmp_path / "builds", progress=silent, source=Source(mirror=mirror))
    assert type(caught.value) is BlenderMissing


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimeoutError("timed out"), BlenderUnfetched),
        (ConnectionResetError(), BlenderUnfetched),
        (OSError(errno.EHOSTUNREACH, "No route to host"), BlenderUnfetched),
        (urllib.error.URLError(socket.gaierror(-3, "Temporary failure in name resolution")), BlenderUnfetched),
        (urllib.error.URLError(ssl.SSLCertVerificationError("expired")), BlenderMissing),
        (http.client.IncompleteRead(b""), BlenderUnfetched),
        (http.client.InvalidURL("a space"), BlenderMissing),
        (PermissionError(errno.EACCES, "Permission denied"), BlenderMissing),
        (OSError(errno.ENOSPC, "No space left on device"), DiskFull),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), DiskFull),
    ],
    ids=lambda value: getattr(value, "__name__", repr(value)),
)
def test_install_knows_what_may_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[Exception]
) -> None:
    def fail(_address: str) -> str:
        raise error

    monkeypatch.setattr(archives, "_text", fail)
    with pytest.raises(kind) as caught:
        archives.install("3.6", tmp_path, mirror="https://mirror.example", progress=silent)
    assert type(caught.value) is kind


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyPI has a wheel of this series, and none of this version."""

    def install(version: str, *_: object, **__: object) -> Path:
        raise wheels.NoWheel(f"no wheel of {version}")

    monkeypatch.setattr(wheels, "offered", lambda _version: True)
    monkeypatch.setattr(wheels, "install", install)


def test_install_goes_on_to_the_archive_of_a_version_that_has_no_wheel(
    tmp_path: Path, mirror: str, no_wheel: None
) -> None:
    archive = publish(tmp_path, "4.4.3")
    build = blenders.install("4.4.3", tmp_path / "b", progress=silent, source=Source(mirror=mirror))
    assert build == Build("4.4.3", "binary", tmp_path / "b" / "4.4.3" / "blender")
    archive.write_bytes(archive.read_bytes() + b"\0")
    with pytest.raises(BlenderMissing, match="refused"):
        blenders.install("4.4.3", tmp_path / "c", progress=silent, source=Source(mirror=mirror))


def test_install_takes_no_archive_for_a_wheel_that_was_locked(tmp_path: Path, mirror: str, no_wheel: None) -> None:
    source = Source(digest_of(publish(tmp_path, "4.4.3")), lock=tmp_path / "bpy.lock", mirror=mirror)
    with pytest.raises(wheels.NoWheel):
        blenders.install("4.4.3", tmp_path / "b", progress=silent, source=source)


def test_install_names_the_wheel_where_there_are_no_archives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_wheel: None
) -> None:
    monkeypatch.setattr(archives, "offered", lambda: False)
    with pytest.raises(wheels.NoWheel, match=r"no wheel of 4\.4\.3"):
        blenders.install("4.4.3", tmp_path, progress=silent)


def test_install_says_which_version_a_mirror_lacks(tmp_path: Path, mirror: str, release: Path) -> None:
    with pytest.raises(BlenderMissing, match=r"no archive of Blender 3\.6\.9 for Linux in"):
        archives.install("3.6.9", tmp_path, mirror=mirror, progress=silent)


def test_install_refuses_an_archive_without_blender(tmp_path: Path, mirror: str, release: Path) -> None:
    with tarfile.open(release, "w:xz") as tar:
        tar.add(tmp_path / "blender", "folder/readme")
    source = Source(digest_of(release), f"{mirror}/Blender3.6/{release.name}")
    with pytest.raises(BlenderMissing, match="no blender in it"):
        blenders.install("3.6.13", tmp_path / "b", progress=silent, source=source)
