"""What it means that pip could not install a wheel: no such one, no answer this time, a full disk."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from blendnet.agent import wheels
from blendnet.errors import BlenderMissing, BlenderUnfetched, DiskFull

LOG = "2026-11-28T16:06:45,582 "
PAGE = f"{LOG}Could not fetch URL https://pypi.org/simple/bpy/: {{}} - skipping\n"
"""A line of pip's verbose log."""
NO_VERSION = """ERROR: Could not find a version that satisfies the requirement bpy==4.4.3 (from versions: {})
ERROR: No matching distribution found for bpy==4.4.3
"""
RETRYING = """WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by 'ProtocolError()': /simple/
"""
MISMATCH = "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated the package"
CUT = "ERROR: Wheel 'bpy' located at /tmp/pip-unpack-ax_ho2kj/bpy-4.4.3-py3-none-any.whl is invalid."
RESET = """ERROR: Exception:
Traceback (most recent call last):
pip._vendor.urllib3.exceptions.ProtocolError: ("Connection broken: ConnectionResetError(104, 'reset by peer')")
"""
STALLED = """ERROR: Exception:
Traceback (most recent call last):
pip._vendor.urllib3.exceptions.ReadTimeoutError: HTTPSConnectionPool(host='x.org', port=443): Read timed out.
"""
NEVER = "Max retries exceeded with url: /f/bpy.whl (Caused by ResponseError('too many 503 error responses'))"
UNTRUSTED = "Max retries exceeded (Caused by SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]')))"


@pytest.mark.parametrize(
    ("output", "verbose", "kind"),
    [
        (NO_VERSION.format("4.4.0"), "", wheels.NoWheel),
        (NO_VERSION.format("none"), "", wheels.NoWheel),
        (NO_VERSION.format("none"), PAGE.format("404 Client Error: Not Found for url: x"), wheels.NoWheel),
        (RETRYING + NO_VERSION.format("4.4.0"), "", wheels.NoWheel),
        (NO_VERSION.format("none"), PAGE.format("403 Client Error: Forbidden for url: x"), BlenderMissing),
        (NO_VERSION.format("none"), PAGE.format(UNTRUSTED), BlenderMissing),
        (NO_VERSION.format("none"), PAGE.format("429 Client Error: Too Many Requests for url: x"), BlenderUnfetched),
        (NO_VERSION.format("none"), PAGE.format("500 Server Error: Internal for url: x"), BlenderUnfetched),
        (NO_VERSION.format("none"), PAGE.format(NEVER), BlenderUnfetched),
        (NO_VERSION.format("4.4.0"), PAGE.format("connection error: refused"), BlenderUnfetched),
        (NO_VERSION.format("none").replace("bpy", "numpy"), PAGE.format("timed out"), BlenderUnfetched),
        (NO_VERSION.format("none").replace("bpy", "numpy"), "", BlenderMissing),
        (f"ERROR: Could not install packages due to an OSError: {NEVER}\n", "", BlenderUnfetched),
        (f"ERROR: Could not install packages due to an OSError: {UNTRUSTED}\n", "", BlenderMissing),
        ("ERROR: HTTP error 503 while getting https://x/bpy.whl\n", "", BlenderUnfetched),
        ("ERROR: HTTP error 403 while getting https://x/bpy.whl\n", "", BlenderMissing),
        (RESET, "", BlenderUnfetched),
        (STALLED, "", BlenderUnfetched),
        (MISMATCH, "", BlenderUnfetched),
        (CUT, "", BlenderUnfetched),
        (RETRYING + "ERROR: a word that nobody knows", "", BlenderMissing),
        ("ERROR: [Errno 28] No space left on device", "", DiskFull),
        ("ERROR: [Errno 122] Disk quota exceeded", "", DiskFull),
    ],
)
def test_failure_knows_what_may_pass(output: str, verbose: str, kind: type[Exception]) -> None:
    assert type(wheels._failure("cannot install", output, verbose)) is kind


def test_failure_takes_a_hash_that_a_person_named_for_the_last_word() -> None:
    assert type(wheels._failure("cannot install", MISMATCH, pinned=True)) is BlenderMissing


def test_failure_tells_what_pip_has_no_words_for() -> None:
    assert "reset by peer" in str(wheels._failure("cannot install", RESET))
    assert "connection error" in str(wheels._failure("x", NO_VERSION, PAGE.format("connection error: refused")))


class Index(http.server.BaseHTTPRequestHandler):
    """Answers with a status, or with a page that names a wheel of 4.4.0."""

    def __init__(self, *args: object, status: int) -> None:
        self._status = status
        super().__init__(*args)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        page = b"<!DOCTYPE html><html><body><a href='/bpy-4.4.0-py3-none-any.whl'>bpy-4.4.0-py3-none-any.whl</a>"
        self.send_response(self._status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)


@pytest.fixture
def index(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The only index that pip knows; the parameter is the status of its answers."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Index, status=request.param))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_address[1]}/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    yield
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("index", "kind"), [(200, wheels.NoWheel), (503, BlenderUnfetched), (403, BlenderMissing)], indirect=["index"]
)
def test_install_tells_an_index_that_lacks_a_version_from_one_that_does_not_answer(
    tmp_path: Path, index: None, kind: type[Exception]
) -> None:
    with pytest.raises(kind) as caught:
        wheels.install("4.4.3", tmp_path, progress=lambda _step, _share: None)
    assert type(caught.value) is kind
    assert list(tmp_path.iterdir()) == []


def test_install_says_that_the_disk_is_full_when_venv_keeps_it_to_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text(
        """#!/bin/sh
        mkdir "$3/bin"
        printf '#!/bin/sh\\necho "OSError: [Errno 28] No space left on device"; exit 1' >"$3/bin/python"
        chmod +x "$3/bin/python"
        echo "Error: Command '[...ensurepip...]' returned non-zero exit status 1."
        exit 1
        """
    )
    python.chmod(0o755)
    monkeypatch.setattr(wheels, "_python_here", lambda _wanted: str(python))
    with pytest.raises(DiskFull, match="cannot make an environment"):
        wheels.install("4.5.15", tmp_path / "builds", progress=lambda _step, _share: None)
    assert list((tmp_path / "builds").iterdir()) == []
