"""Whom the farm's own clients speak to: nobody at another address than the certificate is for, no agent that poses as
the Manager or as its Redis, nobody else whom the world trusts, and nobody who adds an authority to the farm's.

The clients are those that people and agents use, with the options that they use.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from celery import Celery
from kombu.exceptions import OperationalError

from blendnet.celery_app import make_app
from blendnet.client import AgentClient, ManagerClient
from blendnet.errors import FarmError, ManagerUnreachable, UserError
from blendnet.security.agents import fingerprint
from blendnet.security.ca import ServerCertificate, ensure_server_certificate
from tests.manager.joined import OpenFarm, farm, one, report, two
from tests.manager.test_joining import broker_login

__all__ = ["farm", "one", "two"]

HOST, ALIAS = "127.0.0.1", "127.1"
"""The same machine by a name that is in the certificate, and by one that is not."""


class Impostor:
    """A server that shows an agent's certificate, notes what is said to it after TLS, and says `answer` to it."""

    def __init__(self, context: ssl.SSLContext, answer: bytes) -> None:
        self._context = context
        self._answer = answer
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self.asked = 0
        self.heard = b""
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            self.asked += 1
            with plain:
                plain.settimeout(20)
                try:
                    with self._context.wrap_socket(plain, server_side=True) as connection:
                        self.heard += connection.recv(4096)
                        connection.sendall(self._answer)
                except OSError:
                    continue

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@contextmanager
def posing(certificate: Path, key: Path, *, tells: bytes | None = None) -> Iterator[Impostor]:
    """A server that shows that certificate and answers requests with `tells`; it has ended with the block."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    server = Impostor(context, b"" if tells is None else head % len(tells) + tells)
    try:
        yield server
    finally:
        server.close()


def from_an_agent(farm: OpenFarm, two: str, folder: Path, patch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Of agent `two`, which would like to be taken for the Manager."""
    return farm.folder(two).certificate, farm.folder(two).key


def from_the_world(farm: OpenFarm, two: str, folder: Path, patch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """For the Manager's address, by an authority that this system trusts."""
    made = ensure_server_certificate(folder, [HOST])
    patch.setenv("SSL_CERT_FILE", str(made.ca))
    return made.certificate, made.key


@pytest.fixture(params=[from_an_agent, from_the_world], ids=["agent", "world"])
def impostor(
    request: pytest.FixtureRequest, farm: OpenFarm, two: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Impostor]:
    """Somebody with a certificate that says nothing about the Manager."""
    with posing(*request.param(farm, two, tmp_path, monkeypatch)) as server:
        yield server


@pytest.mark.parametrize("impostor", [from_the_world], indirect=True)
def test_this_system_would_believe_who_has_a_certificate_from_the_world(impostor: Impostor) -> None:
    with socket.create_connection((HOST, impostor.port)) as plain:
        ssl.create_default_context().wrap_socket(plain, server_hostname=HOST).close()


def named(kind: str, pem: bytes) -> bytes:
    """A certificate (PEM) under another of the names by which TLS takes one."""
    return pem.replace(b" CERTIFICATE-----", b" " + kind.encode() + b"-----")


ADDED = {
    "after": lambda farm, added: farm + added,
    "before": lambda farm, added: added + farm,
    "x509-after": lambda farm, added: farm + named("X509 CERTIFICATE", added),
    "trusted-after": lambda farm, added: farm + named("TRUSTED CERTIFICATE", added),
    "trusted-before": lambda farm, added: named("TRUSTED CERTIFICATE", added) + farm,
    "between": lambda farm, added: farm + named("TRUSTED CERTIFICATE", added) + farm,
}
"""How somebody else's authority can be put to the farm's."""
BESIDE = pytest.mark.parametrize("beside", ADDED.values(), ids=ADDED.keys())


@pytest.fixture
def stranger(tmp_path: Path) -> ServerCertificate:
    """An authority of somebody in between, with a certificate for the Manager's address."""
    return ensure_server_certificate(tmp_path / "stranger", [HOST])


def as_owner(farm: OpenFarm, one: str, url: str) -> None:
    with ManagerClient(farm.served.connection(url=url)) as client:
        client.jobs()


def as_agent(farm: OpenFarm, one: str, url: str) -> None:
    with AgentClient(replace(farm.connection(one), url=url)) as client:
        report(client, one)


def celery_of(farm: OpenFarm, one: str, place: str) -> Celery:
    """The Celery application of an agent's worker."""
    return make_app(f"rediss://{place}/0", 3600, broker_login(farm, one))


def take_work(app: Celery) -> None:
    with app.connection_for_read() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)


def note_results(app: Celery) -> None:
    try:
        app.backend.client.execute_command("PING")
    finally:
        app.backend.client.connection_pool.disconnect()


NO_CONNECTION = (OperationalError, redis.ConnectionError)
CALLS = pytest.mark.parametrize("call", [as_owner, as_agent])
WORK = pytest.mark.parametrize("work", [take_work, note_results])


@CALLS
def test_manager_is_spoken_to_by_a_name_of_its_certificate_alone(
    farm: OpenFarm, one: str, call: Callable[..., None]
) -> None:
    call(farm, one, farm.url)
    with pytest.raises(ManagerUnreachable, match=r"certificate is not valid for '127\.1'"):
        call(farm, one, farm.url.replace(HOST, ALIAS))


@CALLS
def test_nobody_else_is_taken_for_the_manager(
    farm: OpenFarm, one: str, impostor: Impostor, call: Callable[..., None]
) -> None:
    with pytest.raises(ManagerUnreachable, match="certificate verify failed"):
        call(farm, one, f"https://{HOST}:{impostor.port}")
    assert impostor.asked
    assert impostor.heard == b""


@WORK
def test_redis_is_spoken_to_by_a_name_of_its_certificate_alone(
    farm: OpenFarm, one: str, work: Callable[[Celery], None]
) -> None:
    with celery_of(farm, one, f"{HOST}:{farm.redis.port}") as app:
        work(app)
    with celery_of(farm, one, f"{ALIAS}:{farm.redis.port}") as app:
        with pytest.raises(NO_CONNECTION, match=r"certificate is not valid for '127\.1'"):
            work(app)


@WORK
def test_nobody_else_is_taken_for_redis(
    farm: OpenFarm, one: str, impostor: Impostor, work: Callable[[Celery], None]
) -> None:
    with (
        celery_of(farm, one, f"{HOST}:{impostor.port}") as app,
        pytest.raises(NO_CONNECTION, match="certificate verify"),
    ):
        work(app)
    assert impostor.asked
    assert impostor.heard == b""


Put = Callable[[bytes, bytes], bytes]


@BESIDE
def test_who_adds_an_authority_to_the_farms_hears_no_token(
    farm: OpenFarm, stranger: ServerCertificate, beside: Put, tmp_path: Path
) -> None:
    told = beside(farm.ca.read_bytes(), stranger.ca.read_bytes())
    (tmp_path / "told.crt").write_bytes(told)
    assert len(ssl.create_default_context(cafile=tmp_path / "told.crt").get_ca_certs()) == 2
    with posing(stranger.certificate, stranger.key, tells=told) as server:
        about = {"url": f"https://{HOST}:{server.port}", "ca": None, "ca_sha256": fingerprint(farm.ca.read_bytes())}
        with pytest.raises(FarmError, match=rf"{server.port}/ca\.crt is not what.*not one certificate.*--ca"):
            farm.join("deceived", "blendnet-secret", **about)
    assert server.heard.startswith(b"GET /ca.crt ")
    assert b"secret" not in server.heard
    assert not farm.folder("deceived").ca.exists()


@BESIDE
def test_farm_is_not_known_by_a_file_with_an_authority_added(
    farm: OpenFarm, stranger: ServerCertificate, beside: Put, tmp_path: Path
) -> None:
    given = tmp_path / "given.crt"
    given.write_bytes(beside(farm.ca.read_bytes(), stranger.ca.read_bytes()))
    with posing(stranger.certificate, stranger.key) as server:
        with pytest.raises(UserError, match=r"given\.crt is not the farm's.*not one certificate.*security/ca\.crt"):
            farm.join("deceived", "blendnet-secret", url=f"https://{HOST}:{server.port}", ca=given)
    assert server.asked == 0


def test_clients_trust_no_file_with_an_authority_added(
    farm: OpenFarm, stranger: ServerCertificate, tmp_path: Path
) -> None:
    given = tmp_path / "given.crt"
    given.write_bytes(farm.ca.read_bytes() + stranger.ca.read_bytes())
    with pytest.raises(FarmError, match=r"given\.crt is not the Manager's.*not one certificate.*security/ca\.crt"):
        ManagerClient(replace(farm.served.connection(), ca=given))


def test_words_around_the_certificate_are_left_out(farm: OpenFarm, tmp_path: Path) -> None:
    given = tmp_path / "given.crt"
    given.write_bytes("The farm's authority, as Zoë copied it\n".encode() + farm.ca.read_bytes() + b"\nthe end\n")
    farm.join("wordy", ca=given)
    assert farm.folder("wordy").ca.read_bytes() == farm.ca.read_bytes()
