"""Slow, silent and half-open clients end by themselves and hold up nobody."""

from __future__ import annotations

import contextlib
import hashlib
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.manager.served import Served, serve

IDLE_S = 1.0
MAX_JSON = 100_000


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(tmp_path_factory.mktemp("farm"), request_idle_timeout_s=IDLE_S, max_json_bytes=MAX_JSON) as served:
        yield served


def until_closed(connection: ssl.SSLSocket) -> tuple[bytes, float]:
    """All that the server still says, and the seconds until it hangs up."""
    started, said = time.monotonic(), b""
    try:
        while data := connection.recv(65536):
            said += data
    except (ConnectionResetError, ssl.SSLError):
        pass  # Hung up without ceremony, as it should on such a client.
    return said, time.monotonic() - started


@pytest.mark.parametrize(
    "said", [b"", b"GET /heal", b"GET /health HTTP/1.1\r\nX: 1\r\n"], ids=["nothing", "line", "head"]
)
def test_half_open_connection_is_ended(served: Served, said: bytes) -> None:
    with served.socket() as connection:
        connection.sendall(said)
        _, seconds = until_closed(connection)
    assert seconds < 10 * IDLE_S


def test_dripping_head_is_ended_although_it_is_never_silent(served: Served) -> None:
    with served.socket() as connection:
        deadline = time.monotonic() + 20 * IDLE_S
        connection.settimeout(IDLE_S / 10)
        connection.sendall(b"GET /health HTTP/1.1\r\n")
        with pytest.raises(OSError):  # noqa: PT012
            while time.monotonic() < deadline:
                connection.sendall(b"X: y\r\n")
                try:
                    if not connection.recv(100):
                        raise ConnectionResetError
                except TimeoutError:
                    continue


def test_json_body_that_stops_coming_is_answered_and_ended(served: Served) -> None:
    with served.socket() as connection:
        connection.sendall(served.head("POST", "/v1/agents", Content_Type="application/json", Content_Length="50"))
        said, seconds = until_closed(connection)
    assert b" 408 " in said.split(b"\r\n")[0]
    assert seconds < 10 * IDLE_S


def test_json_body_over_the_limit_is_refused_before_it_is_sent(served: Served) -> None:
    with served.socket() as connection:
        connection.sendall(served.head("POST", "/v1/agents", Content_Length=str(MAX_JSON + 1)))
        assert b" 413 " in connection.recv(4096).split(b"\r\n")[0]


def test_json_body_of_unknown_length_is_cut_at_the_limit(served: Served) -> None:
    with served.http() as http:
        pieces = (b" " * 10_000 for _ in range(100))
        answer = http.post("/v1/agents", content=pieces, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert answer.json()["code"] == "too_large"


def test_client_that_never_takes_its_answer_is_ended(served: Served) -> None:
    size, sha = 64 << 20, hashlib.sha256(bytes(64 << 20)).hexdigest()
    with served.http() as http:
        http.put(f"/v1/blobs/{sha}?size={size}", content=bytes(size))
    with served.socket() as connection:
        connection.sendall(served.head("GET", f"/v1/blobs/{sha}"))
        time.sleep(3 * IDLE_S)  # The test is about doing nothing for longer than the limit.
        said, _ = until_closed(connection)
    assert len(said) < size


def test_many_bad_clients_hold_up_nobody(served: Served) -> None:
    half = served.head("POST", "/v1/agents", Content_Type="application/json", Content_Length="50")
    upload = served.head("PUT", f"/v1/blobs/{'1' * 64}?size=1000", Content_Length="1000")
    with ExitStack() as stack, served.http() as http:
        http.get("/v1/jobs")
        for said in [half, upload, b"", b"GET /v1/jo"] * 30:
            stack.enter_context(served.socket()).sendall(said)
        answer = http.get("/v1/jobs")
        assert answer.status_code == 200
        assert answer.elapsed.total_seconds() < 5


def test_head_over_the_limit_is_refused(served: Served) -> None:
    with served.socket() as connection:
        with contextlib.suppress(OSError):  # Refused before all of it is sent.
            connection.sendall(b"GET /health HTTP/1.1\r\nX: " + b"y" * 200_000)
        said, _ = until_closed(connection)
    assert said == b"" or b" 400 " in said.split(b"\r\n")[0]


@pytest.mark.parametrize(
    "said",
    [b"\x16\x03\x01rubbish\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n"],
)
def test_rubbish_is_answered_with_a_refusal(served: Served, said: bytes) -> None:
    with served.socket() as connection:
        connection.sendall(said)
        answer = connection.recv(4096)
    assert answer.split(b"\r\n")[0].split(b" ")[1] in (b"400", b"401", b"505")
