"""Files over HTTPS: what is missing, resumable uploads, ranges; and everything a client may do wrong."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from blendnet.manager.blob_answer import ByteRange, byte_range
from tests.manager.served import Served, serve, wait_until

MIB = 1 << 20
DATA = random.Random(1).randbytes(3 * MIB + 17)
SHA = hashlib.sha256(DATA).hexdigest()
ROUNDS = 50
"""More than the pieces in which a server takes a MiB out of a socket."""
OTHER = "0" * 64


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(
        tmp_path_factory.mktemp("farm"), max_json_bytes=MIB, max_blob_bytes=1 << 40, request_idle_timeout_s=2.0
    ) as served:
        yield served


@pytest.fixture
def served(farm: Served) -> Served:
    """The farm with an empty store."""
    for name in ("blobs", "uploads"):
        shutil.rmtree(farm.store.root / name, ignore_errors=True)
    return farm


def test_upload_is_complete_when_its_last_byte_is_there(served: Served) -> None:
    with served.http() as http:
        answer = http.put(f"/v1/blobs/{SHA}", params={"size": len(DATA), "offset": 0}, content=DATA)
        assert (answer.status_code, answer.json()) == (201, {"received_bytes": len(DATA), "complete": True})
        assert http.get(f"/v1/blobs/{SHA}").content == DATA


def test_upload_goes_on_piece_by_piece(served: Served) -> None:
    with served.http() as http:
        first = http.put(f"/v1/blobs/{SHA}?size={len(DATA)}&offset=0", content=DATA[:1000])
        assert (first.status_code, first.json()) == (200, {"received_bytes": 1000, "complete": False})
        missing = http.post("/v1/blobs/missing", json={"blobs": [{"sha256": SHA, "size_bytes": len(DATA)}]}).json()
        assert missing == {"missing": [{"sha256": SHA, "received_bytes": 1000}]}
        assert http.put(f"/v1/blobs/{SHA}?size={len(DATA)}&offset=1000", content=DATA[1000:]).status_code == 201
        again = http.post("/v1/blobs/missing", json={"blobs": [{"sha256": SHA, "size_bytes": len(DATA)}]}).json()
        assert again == {"missing": []}


def test_wrong_offset_is_answered_with_the_right_one(served: Served) -> None:
    with served.http() as http:
        http.put(f"/v1/blobs/{SHA}?size={len(DATA)}", content=DATA[:1000])
        answer = http.put(f"/v1/blobs/{SHA}?size={len(DATA)}&offset=500", content=b"x")
        assert answer.status_code == 409
        assert answer.json()["code"] == "wrong_offset"
        assert answer.json()["details"] == {"received_bytes": 1000}


def test_bytes_that_hash_wrong_are_refused_and_forgotten(served: Served) -> None:
    with served.http() as http:
        answer = http.put(f"/v1/blobs/{OTHER}?size={len(DATA)}", content=DATA)
        assert (answer.status_code, answer.json()["code"]) == (422, "hash_mismatch")
        assert http.get(f"/v1/blobs/{OTHER}").status_code == 404
    assert not [p for p in served.store.root.rglob("*") if p.is_file()]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("size=10", 413),
        (f"size={1 << 41}", 413),
        ("size=10&offset=11", 422),
        ("size=-1", 422),
        ("size=1&offset=-1", 422),
        ("size=ten", 422),
        ("", 422),
        (f"size={1 << 39}", 507),
    ],
    ids=[
        "longer than announced",
        "over the limit",
        "behind the end",
        "negative",
        "before the start",
        "word",
        "none",
        "full",
    ],
)
def test_impossible_upload_is_refused(served: Served, query: str, status: int) -> None:
    with served.http() as http:
        assert http.put(f"/v1/blobs/{SHA}?{query}", content=DATA[:100]).status_code == status
    assert not [p for p in served.store.root.rglob("*") if p.is_file()]


@pytest.mark.parametrize(
    "name", ["..%2f..%2fusers.json", "%2e%2e/users.json", "..", SHA.upper(), SHA + "0", "a", "%00" * 64, "nul%00"]
)
def test_names_that_are_not_hashes_reach_no_file(served: Served, name: str) -> None:
    with served.http() as http:
        assert http.get(f"/v1/blobs/{name}").status_code in (404, 405, 422)
        assert http.put(f"/v1/blobs/{name}?size=1", content=b"x").status_code in (404, 405, 422)
    assert not [p for p in served.store.root.rglob("*") if p.is_file()]


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        ("bytes=0-9", 206, DATA[:10]),
        (f"bytes={MIB}-", 206, DATA[MIB:]),
        ("bytes=-5", 206, DATA[-5:]),
        (f"bytes={len(DATA)}-", 416, None),
    ],
)
def test_download_understands_ranges(served: Served, asked: str, status: int, expected: bytes | None) -> None:
    with served.http() as http, served.http("agent") as agent:
        http.put(f"/v1/blobs/{SHA}?size={len(DATA)}", content=DATA)
        answer = agent.get(f"/v1/blobs/{SHA}", headers={"Range": asked})
    assert answer.status_code == status
    if expected is not None:
        assert answer.content == expected


def test_cut_upload_keeps_what_arrived(served: Served) -> None:
    with served.http() as http:
        with served.socket() as connection:
            head = served.head("PUT", f"/v1/blobs/{SHA}?size={len(DATA)}", Content_Length=str(len(DATA)))
            connection.sendall(head + DATA[:2_000_000])
            wait_until(lambda: served.store.received_bytes(SHA) >= MIB, 20)
            # With each answer the server's loop has gone round and has taken more of what lies in the socket: the rest
            # would be lost with the line.
            for _ in range(ROUNDS):
                assert http.post("/v1/blobs/missing", json={"blobs": []}).status_code == 200
        wait_until(lambda: served.store.received_bytes(SHA) == 2_000_000, 20)
        assert http.put(f"/v1/blobs/{SHA}?size={len(DATA)}&offset=2000000", content=DATA[2_000_000:]).status_code == 201


def test_silent_uploader_is_cut_off_and_keeps_what_arrived(served: Served) -> None:
    with served.socket() as connection:
        head = served.head("PUT", f"/v1/blobs/{SHA}?size={len(DATA)}", Content_Length=str(len(DATA)))
        connection.sendall(head + DATA[:100_000])
        answer = connection.recv(4096)
    assert b" 408 " in answer.split(b"\r\n")[0]
    assert served.store.received_bytes(SHA) == 100_000


def test_upload_takes_over_from_a_half_open_client_at_once(served: Served) -> None:
    with served.socket() as silent, served.http() as http:
        head = served.head("PUT", f"/v1/blobs/{SHA}?size={len(DATA)}", Content_Length=str(len(DATA)))
        silent.sendall(head + DATA[: MIB + 1000])  # It is written by the MiB: what is there then stays as it is.
        wait_until(lambda: served.store.received_bytes(SHA) >= MIB, 20)
        there = served.store.received_bytes(SHA)
        assert http.put(f"/v1/blobs/{SHA}?size={len(DATA)}&offset={there}", content=DATA[there:]).status_code == 201
        assert http.get(f"/v1/blobs/{SHA}").content == DATA


def test_upload_of_what_is_there_is_fine(served: Served) -> None:
    with served.http() as http:
        for _ in range(2):
            assert http.put(f"/v1/blobs/{SHA}?size={len(DATA)}", content=DATA).status_code == 201


@pytest.mark.thorough
def test_large_upload_and_download_stay_out_of_memory(served: Served) -> None:
    size, piece = 300 * MIB, bytes(MIB)
    digest = hashlib.sha256()
    for _ in range(300):
        digest.update(piece)
    process, path = psutil.Process(), f"/v1/blobs/{digest.hexdigest()}"
    before = process.memory_info().rss
    with served.http() as http:
        body = (piece for _ in range(300))
        answer = http.put(f"{path}?size={size}", content=body, headers={"Content-Length": str(size)})
        assert answer.status_code == 201
        with http.stream("GET", path) as download:
            assert sum(len(data) for data in download.iter_raw()) == size
    assert process.memory_info().rss - before < 60 * MIB


def test_manifest_over_the_limits_is_refused(served: Served) -> None:
    with served.http() as http:
        blob = {"sha256": SHA, "size_bytes": 1}
        assert http.post("/v1/blobs/missing", json={"blobs": [blob] * 20_000}).status_code == 413
        assert http.post("/v1/blobs/missing", json={"blobs": [{**blob, "sha256": "../x"}]}).status_code == 422
        assert http.post("/v1/blobs/missing", json={"blobs": [blob], "more": 1}).status_code == 422
        assert http.post("/v1/blobs/missing", content=b"[" * 100_000).status_code == 422


def test_leftovers_stay_in_the_store_folder(served: Served, tmp_path: Path) -> None:
    with served.http() as http:
        http.put(f"/v1/blobs/{SHA}?size={len(DATA)}", content=DATA)
    assert [p.name for p in served.store.root.rglob("*") if p.is_file()] == [SHA]


def damage(served: Served, *, first: bool) -> None:
    path = served.store.path(SHA)
    content = bytearray(path.read_bytes())
    content[0 if first else -1] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


@pytest.mark.parametrize("asked", [None, "bytes=0-9", f"bytes={MIB}-"])
@pytest.mark.parametrize("first", [True, False], ids=["first byte", "last byte"])
def test_damaged_file_is_never_sent_whole_and_not_served_again(served: Served, asked: str | None, first: bool) -> None:
    with served.http() as http:
        http.put(f"/v1/blobs/{SHA}?size={len(DATA)}", content=DATA)
        damage(served, first=first)
        with pytest.raises(httpx.RemoteProtocolError):
            http.get(f"/v1/blobs/{SHA}", headers={"Range": asked} if asked else {})
        wait_until(lambda: http.get(f"/v1/blobs/{SHA}").status_code == 404, 10)
        assert http.post("/v1/blobs/missing", json={"blobs": [{"sha256": SHA, "size_bytes": 1}]}).json()["missing"]


def test_file_of_another_size_counts_as_missing(served: Served) -> None:
    with served.http() as http:
        http.put(f"/v1/blobs/{SHA}?size={len(DATA)}", content=DATA)
        path = served.store.path(SHA)
        path.chmod(0o644)
        path.write_bytes(DATA[:-1])
        asked = {"blobs": [{"sha256": SHA, "size_bytes": len(DATA)}]}
        assert http.post("/v1/blobs/missing", json=asked).json()["missing"]
        assert http.put(f"/v1/blobs/{SHA}?size={len(DATA)}", content=DATA).status_code == 201
        assert http.get(f"/v1/blobs/{SHA}").content == DATA


def test_empty_file_can_be_downloaded(served: Served) -> None:
    empty = hashlib.sha256().hexdigest()
    with served.http() as http:
        assert http.put(f"/v1/blobs/{empty}?size=0", content=b"").status_code == 201
        answer = http.get(f"/v1/blobs/{empty}")
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "0")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, ByteRange(0, 10)),
        ("bytes=2-4", ByteRange(2, 5)),
        ("bytes=2-", ByteRange(2, 10)),
        ("bytes=2-99", ByteRange(2, 10)),
        ("bytes=-3", ByteRange(7, 10)),
        ("bytes=-30", ByteRange(0, 10)),
        ("bytes=10-", None),
        ("bytes=-0", None),
        ("bytes=4-2", ByteRange(0, 10)),
        ("bytes=0-1,4-5", ByteRange(0, 10)),
        ("lines=0-1", ByteRange(0, 10)),
        ("bytes=-", ByteRange(0, 10)),
        ("bytes=a-b", ByteRange(0, 10)),
    ],
)
def test_range_is_read_as_the_standard_says(header: str | None, expected: ByteRange | None) -> None:
    assert byte_range(header, 10) == expected
