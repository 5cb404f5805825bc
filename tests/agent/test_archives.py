"""Archives of Blender: from a mirror with published hashes, from an address with a given one, refused with another."""

from __future__ import annotations

import functools
import hashlib
import http.server
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from blendnet.agent import archives, blenders
from blendnet.agent.blenders import Build, Source
from blendnet.errors import BlenderMissing

LISTING = """<a href="blender-3.6.2-linux-x64.tar.xz">, <a href="blender-3.6.13-linux-x64.tar.xz">
<a href="blender-3.6.14-macos-arm64.dmg"> <a href="blender-3.6.15-windows-x64.zip">"""


def silent(_step: str, _share: float | None) -> None:
    """Tell nobody."""


class Mirror(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", "http://[::2]:9/")
            self.end_headers()
            return
        super().do_GET()


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    """Address of a mirror that has Blender 3.6.13, a small script."""
    (tmp_path / "mirror").mkdir()
    handler = functools.partial(Mirror, directory=str(tmp_path / "mirror"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def release(tmp_path: Path, mirror: str) -> Path:
    """The archive of the mirror, with its hash published beside it."""
    program = tmp_path / "blender"
    program.write_text("#!/bin/sh\necho 'Blender 3.6.13'\n")
    program.chmod(0o755)
    folder = tmp_path / "mirror" / "Blender3.6"
    folder.mkdir()
    archive = folder / "blender-3.6.13-linux-x64.tar.xz"
    with tarfile.open(archive, "w:xz") as tar:
        tar.add(program, "blender-3.6.13-linux-x64/blender")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    (folder / "blender-3.6.13.sha256").write_text(f"{'0' * 64}  other.zip\n{digest}  {archive.name}\n")
    return archive


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
    with pytest.raises(BlenderMissing):
        archives.install("3.6.13", tmp_path, mirror="", progress=silent, sha256="0" * 64, url=f"{mirror}/away")


def test_install_says_that_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(BlenderMissing, match=r"Blender 3\.6 cannot be fetched"):
        archives.install("3.6", tmp_path, mirror="http://127.0.0.1:9", progress=silent)


def test_install_says_which_version_a_mirror_lacks(tmp_path: Path, mirror: str, release: Path) -> None:
    with pytest.raises(BlenderMissing, match=r"no archive of Blender 3\.6\.9 for Linux in"):
        archives.install("3.6.9", tmp_path, mirror=mirror, progress=silent)


def test_install_refuses_an_archive_without_blender(tmp_path: Path, mirror: str, release: Path) -> None:
    with tarfile.open(release, "w:xz") as tar:
        tar.add(tmp_path / "blender", "folder/readme")
    source = Source(digest_of(release), f"{mirror}/Blender3.6/{release.name}")
    with pytest.raises(BlenderMissing, match="no blender in it"):
        blenders.install("3.6.13", tmp_path / "b", progress=silent, source=source)
