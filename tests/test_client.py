"""The HTTPS client against a real Manager: whom it trusts, what it makes of errors, and transfers on bad lines."""

from __future__ import annotations

import errno
import http.server
import os
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from blendnet import errors
from blendnet.client import LocalFile, ManagerClient, blob_of, connection, transfers
from blendnet.errors import (
    BlendNetError,
    DiskFull,
    FarmError,
    ManagerUnreachable,
    MissingFiles,
    NotAllowed,
    NotFound,
    UserError,
    WrongOffset,
)
from blendnet.manager.api_errors import answer
from blendnet.security.ca import ServerCertificate, ensure_server_certificate
from tests.cutting_proxy import cutting
from tests.manager.served import Served, serve

MIB = 1 << 20


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(tmp_path_factory.mktemp("farm")) as served:
        yield served


@pytest.fixture
def client(served: Served) -> Iterator[ManagerClient]:
    with served.owner() as client:
        yield client


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "RETRY_WAITS_S", (0.01, 0.02))


def local(folder: Path, name: str, data: bytes) -> LocalFile:
    path = folder / name
    path.write_bytes(data)
    return LocalFile(path, blob_of(path))


def through(served: Served, port: int) -> ManagerClient:
    return ManagerClient(served.connection(url=f"https://127.0.0.1:{port}"))


def address(served: Served) -> tuple[str, int]:
    parts = urlsplit(served.url)
    return parts.hostname or "", parts.port or 0


def test_another_ca_is_not_trusted(served: Served, tmp_path: Path) -> None:
    other = ensure_server_certificate(tmp_path)
    with ManagerClient(served.connection(ca=other.ca)) as client:
        with pytest.raises(ManagerUnreachable, match="certificate verify failed"):
            client.jobs()


def test_system_certificates_do_not_vouch_for_a_farm(served: Served) -> None:
    with ManagerClient(served.connection(ca=None)) as client:
        with pytest.raises(ManagerUnreachable, match="certificate verify failed"):
            client.jobs()


def test_wrong_password_is_said(served: Served, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("guess\n")
    with ManagerClient(served.connection(password_file=tmp_path / "password")) as client:
        assert client.healthy()
        with pytest.raises(NotAllowed, match="wrong user or password"):
            client.jobs()


def test_missing_files_of_a_connection_are_named(served: Served, tmp_path: Path) -> None:
    with pytest.raises(FarmError, match="password file"):
        ManagerClient(served.connection(password_file=tmp_path / "nothing"))
    with pytest.raises(FarmError, match="CA certificate"):
        ManagerClient(served.connection(ca=tmp_path / "nothing"))


def test_absent_manager_is_unreachable(served: Served) -> None:
    with cutting(address(served)) as proxy:
        port = proxy.port
    with through(served, port) as client, pytest.raises(ManagerUnreachable, match=f"127.0.0.1:{port}"):
        client.jobs()


def test_silent_manager_is_unreachable_in_time(served: Served) -> None:
    with cutting(address(served), 0) as proxy:
        connection = served.connection(url=f"https://127.0.0.1:{proxy.port}", read_timeout_s=0.5, connect_timeout_s=0.5)
        with ManagerClient(connection) as client, pytest.raises(ManagerUnreachable):
            client.jobs()


def test_proxies_of_the_environment_are_not_used(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with served.owner() as client:
        client.jobs()


@pytest.fixture
def impostor(served: Served, tmp_path: Path) -> Iterator[str]:
    """URL of a server with a good certificate that is no Manager: it redirects, or answers with something else."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            redirect = self.path == "/v1/jobs"
            self.send_response(302 if redirect else 200)
            self.send_header("Location", f"{served.url}/v1/jobs")
            self.send_header("Content-Length", "6")
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    files: ServerCertificate = served.certificate
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(files.certificate, files.key)
    server.socket = trust.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_redirects_and_foreign_answers_are_not_followed(served: Served, impostor: str) -> None:
    with ManagerClient(served.connection(url=impostor)) as client:
        with pytest.raises(ManagerUnreachable, match="unexpected"):
            client.jobs()
        with pytest.raises(ManagerUnreachable, match="unexpected"):
            client.farm()


def all_errors(root: type[BlendNetError] = BlendNetError) -> list[type[BlendNetError]]:
    own = [root] if root.__module__ == errors.__name__ else []
    return own + [kind for child in root.__subclasses__() for kind in all_errors(child)]


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_error_is_the_same_on_both_sides(kind: type[BlendNetError]) -> None:
    special = {MissingFiles: ("gone", ("a.png", "b.png")), WrongOffset: ("not there", 12)}
    raised = kind(*special.get(kind, ("it is so",)))
    sent = answer(raised)
    request = httpx.Request("GET", "https://farm/v1/jobs")
    received = connection.error_of(httpx.Response(sent.status_code, content=sent.body, request=request))
    # To a client the Manager's disk is another one than its own.
    assert type(received) is (errors.ManagerFull if kind is errors.DiskFull else kind)
    assert str(received) == str(raised)
    assert received.details == raised.details


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, errors.NoLogin), (403, NotAllowed), (404, NotFound), (400, UserError), (502, errors.Retryable)],
)
def test_answer_that_is_no_error_body_still_has_a_kind(status: int, kind: type[BlendNetError]) -> None:
    request = httpx.Request("GET", "https://farm/v1/jobs")
    assert type(connection.error_of(httpx.Response(status, content=b"<html>", request=request))) is kind


def test_upload_sends_only_what_is_missing_and_tells_progress(client: ManagerClient, tmp_path: Path) -> None:
    files = [local(tmp_path, f"file{n}", os.urandom(n * 100_000)) for n in range(1, 13)]
    twin = LocalFile(files[0].path, files[0].blob)
    assert client.upload(files[:3]) == 3
    told: list[int] = []
    assert client.upload([*files, twin], progress=told.append) == 9
    assert sum(told) == sum(file.blob.size_bytes for file in [*files, twin])
    assert client.upload(files) == 0


def test_upload_goes_on_after_cut_connections(served: Served, tmp_path: Path) -> None:
    file = local(tmp_path, "big", os.urandom(8 * MIB))
    told: list[int] = []
    with cutting(address(served), 3 * MIB, 2 * MIB, 3 * MIB) as proxy, through(served, proxy.port) as client:
        assert client.upload([file], progress=told.append) == 1
        assert proxy.cuts == []
    assert served.store.path(file.blob.sha256).read_bytes() == file.path.read_bytes()
    assert sum(told) == file.blob.size_bytes


def test_upload_starts_over_when_its_first_part_was_wrong(
    served: Served, client: ManagerClient, tmp_path: Path
) -> None:
    file = local(tmp_path, "big", os.urandom(MIB))
    served.store.resume(file.blob.sha256, size_bytes=MIB, offset=0).append(b"wrong" * 1000)
    assert client.upload([file]) == 1
    assert served.store.has(file.blob.sha256)


def test_upload_gives_up_when_there_is_no_progress(served: Served, tmp_path: Path) -> None:
    file = local(tmp_path, "big", os.urandom(4 * MIB))
    with cutting(address(served), *[0] * 20) as proxy, through(served, proxy.port) as client:
        with pytest.raises(ManagerUnreachable):
            client.upload([file])


def test_upload_of_a_file_that_changes_is_refused(client: ManagerClient, tmp_path: Path) -> None:
    file = local(tmp_path, "scene.blend", b"before")
    file.path.write_bytes(b"after!")
    with pytest.raises(UserError, match="changed while"):
        client.upload([file])
    file.path.write_bytes(b"")
    with pytest.raises(UserError, match="shorter"):
        client.upload([file])


def test_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFiles) as caught:
        blob_of(tmp_path / "gone.png")
    assert caught.value.paths == (str(tmp_path / "gone.png"),)


def test_download_goes_on_after_cut_connections(served: Served, client: ManagerClient, tmp_path: Path) -> None:
    file = local(tmp_path, "big", os.urandom(8 * MIB))
    client.upload([file])
    told: list[int] = []
    with cutting(address(served), 3 * MIB, 2 * MIB) as proxy, through(served, proxy.port) as cut:
        cut.download(file.blob.sha256, tmp_path / "new" / "copy", progress=told.append)
        assert proxy.cuts == []
    assert (tmp_path / "new" / "copy").read_bytes() == file.path.read_bytes()
    assert sum(told) == 8 * MIB


def test_failed_download_leaves_the_old_file_and_nothing_else(
    served: Served, client: ManagerClient, tmp_path: Path
) -> None:
    file = local(tmp_path, "a", os.urandom(1000))
    client.upload([file])
    target = tmp_path / "out" / "picture.png"
    target.parent.mkdir()
    target.write_bytes(b"old")
    stored = served.store.path(file.blob.sha256)
    stored.chmod(0o600)
    stored.write_bytes(os.urandom(1000))
    with pytest.raises(NotFound):
        client.download(file.blob.sha256, target)
    with pytest.raises(NotFound):
        client.download("0" * 64, target)
    assert [(path.name, path.read_bytes()) for path in target.parent.iterdir()] == [("picture.png", b"old")]


def test_download_starts_over_when_what_came_before_a_cut_was_damaged(
    served: Served, client: ManagerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = local(tmp_path, "big", os.urandom(4 * MIB))
    client.upload([file])
    stored = served.store.path(file.blob.sha256)
    stored.chmod(0o600)
    with stored.open("r+b") as damaged:
        damaged.write(b"rotten")
    told: list[int] = []
    # While the client waits to go on, the farm makes the file again.
    monkeypatch.setattr(transfers.time, "sleep", lambda _: client.upload([file]))
    client.download(file.blob.sha256, tmp_path / "copy", progress=told.append)
    assert (tmp_path / "copy").read_bytes() == file.path.read_bytes()
    assert sum(told) == 4 * MIB


def test_download_to_a_full_disk_says_so(
    client: ManagerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = local(tmp_path, "a", os.urandom(1000))
    client.upload([file])

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(transfers, "write_all", full)
    with pytest.raises(DiskFull, match=str(tmp_path)):
        client.download(file.blob.sha256, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_connection_may_be_used_by_many_threads(client: ManagerClient) -> None:
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(len(client.jobs()))) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [0] * 30
