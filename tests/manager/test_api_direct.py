"""A Manager whose store is a bucket: who gets addresses, what goes straight there, and what happens without it."""

from __future__ import annotations

import hashlib
import logging
import random
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from blendnet.client import direct, outside, transfers
from blendnet.client.connection import Http
from blendnet.errors import CapReached, NotFound, StoreRefused, StoreUnreachable
from blendnet.manager.ledger.meters import EGRESS
from blendnet.messages import ClaimRequest, FarmCaps
from blendnet.models import State
from blendnet.storage.base import SignedUrl
from blendnet.storage.bucket_store import BucketStore
from blendnet.storage.disk import PIECE_BYTES
from tests.cutting_proxy import cutting
from tests.manager.farms import Kit
from tests.manager.served import Served, put, serve
from tests.storage.moto_bucket import Moto
from tests.storage.unreliable import Unreliable

MIB = 1 << 20
DATA = random.Random(1).randbytes(2 * MIB + 17)
SHA = hashlib.sha256(DATA).hexdigest()
KEY = f"blobs/{SHA[:2]}/{SHA}"


@pytest.fixture
def bucket(aws: Moto) -> Unreliable:
    return Unreliable(aws.open(aws.bucket(), "farm"))


@pytest.fixture
def served(bucket: Unreliable, tmp_path: Path) -> Iterator[Served]:
    store = BucketStore(bucket, tmp_path / "farm" / "store", cache_bytes=64 * MIB, direct_from_bytes=MIB)
    (tmp_path / "farm").mkdir()
    with serve(tmp_path / "farm", store=store) as farm:
        yield farm


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "RETRY_WAITS_S", (0.01, 0.02))


def stored(served: Served, data: bytes = DATA) -> str:
    return put(served.store, data).sha256


def reads(moto: Moto, served: Served) -> list[str]:
    """Requests for the blob that somebody made with an address, answered well."""
    object_path = f"{served.store.place.removeprefix('s3://')}/{KEY}?"
    return [line for line in moto.requests("GET", object_path) if "X-Amz-Signature" in line and '" 20' in line]


def on_the_bill(served: Served) -> float:
    """Bytes that left the cloud, as far as they are written down."""
    with served.farm.ledger.read() as tx:
        return tx.meters.total(EGRESS)[0]


def url_of(served: Served, user: str = "owner") -> str:
    with served.http(user) as http:
        return http.get(f"/v1/blobs/{SHA}/url").json()["url"]


def test_address_is_for_those_who_may_have_the_file(served: Served) -> None:
    stored(served)
    for user in ("owner", "agent"):
        assert httpx.get(url_of(served, user), trust_env=False).content == DATA
    with served.http(None) as http:
        assert http.get(f"/v1/blobs/{SHA}/url").status_code == 401
    with served.http() as http:
        answer = http.get(f"/v1/blobs/{SHA}/url")
        assert (answer.json()["expires_s"], answer.headers["cache-control"]) == (900.0, "no-store")
        assert http.get(f"/v1/blobs/{'0' * 64}/url").status_code == 404
        assert http.post("/v1/incoming", json={"size_bytes": MIB}).status_code == 403
        assert http.get(f"/v1/blobs/{SHA}").content == DATA


def test_local_farm_gives_no_address_and_is_asked_once(tmp_path: Path) -> None:
    with serve(tmp_path) as local, local.agent() as agent:
        sha256 = stored(local)
        asked: list[str] = []
        agent._http._client.event_hooks = {"request": [lambda request: asked.append(request.url.path)]}
        for number in range(3):
            agent.download(sha256, tmp_path / f"file{number}")
            assert (tmp_path / f"file{number}").read_bytes() == DATA
        assert [path.endswith("/url") for path in asked] == [True, False, False, False]
        for _ in range(2):
            assert direct.put(agent._http, tmp_path / "file0", transfers.blob_of(tmp_path / "file0")) is None
        assert asked.count("/v1/incoming") == 1


def test_download_comes_from_the_bucket_without_the_managers_login(
    served: Served,
    aws: Moto,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored(served)
    sent: list[httpx.Request] = []
    handle = httpx.HTTPTransport.handle_request

    def noted(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return handle(transport, request)

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", noted)
    told: list[int] = []
    with served.owner() as client:
        client.download(SHA, tmp_path / "got", progress=told.append)
    assert (tmp_path / "got").read_bytes() == DATA
    assert sum(told) == len(DATA)
    assert len(reads(aws, served)) == 1
    assert ["authorization" in request.headers for request in sent] == [True, False]


def test_what_owners_fetch_from_the_bucket_is_on_the_bill_and_what_agents_fetch_is_not(
    served: Served, tmp_path: Path
) -> None:
    stored(served)
    with served.agent() as agent:
        agent.download(SHA, tmp_path / "agents")
    assert on_the_bill(served) == 0
    with served.owner() as owner:
        owner.download(SHA, tmp_path / "got")
        assert on_the_bill(served) == len(DATA)
        assert owner.address(SHA).url, "as `blendnet job links` asks"
    assert on_the_bill(served) == 2 * len(DATA)


def test_an_address_that_a_cap_has_no_room_for_is_not_given_and_no_other_way_is_taken(
    served: Served, aws: Moto, tmp_path: Path
) -> None:
    stored(served)
    with served.owner() as owner:
        owner.set_farm_caps(FarmCaps(day_usd=1e-9))
        with pytest.raises(CapReached, match="`blendnet costs --cap-day"):
            owner.download(SHA, tmp_path / "got")
        with pytest.raises(CapReached):
            owner.address(SHA)
    assert (on_the_bill(served), reads(aws, served)) == (0, [])
    assert not (tmp_path / "got").exists()


def test_damaged_object_is_not_taken_and_the_manager_mends_it(
    served: Served, bucket: Unreliable, tmp_path: Path
) -> None:
    stored(served)
    (tmp_path / "bad").write_bytes(DATA[:-1] + b"x")
    bucket.real.put(KEY, tmp_path / "bad", sha256=SHA, size_bytes=len(DATA), replace=True)
    told: list[int] = []
    with served.owner() as client:
        client.download(SHA, tmp_path / "got", progress=told.append)
    assert (tmp_path / "got").read_bytes() == DATA
    assert sum(told) == len(DATA)


def test_object_that_is_gone_without_a_copy_is_found_out(served: Served, bucket: Unreliable, tmp_path: Path) -> None:
    stored(served)
    for path in (served.store.root / "blobs").rglob(SHA):
        path.unlink()
    bucket.real.delete([KEY])
    with served.owner() as client, pytest.raises(NotFound):
        client.download(SHA, tmp_path / "got")
    assert list(tmp_path.glob(".got*")) == []


def test_download_goes_through_the_manager_when_the_bucket_cannot_be_reached(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stored(served)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    nowhere = SignedUrl(f"http://127.0.0.1:{port}/x?X-Amz-Signature=secret", 60, {})
    monkeypatch.setattr(served.store, "download_url", lambda sha256: nowhere)
    with served.owner() as client:
        for number in range(2):
            client.download(SHA, tmp_path / f"got{number}")
    assert (tmp_path / "got1").read_bytes() == DATA
    notes = [record.getMessage() for record in caplog.records if record.name == outside.__name__]
    assert len(notes) == 1
    assert "files go through the Manager" in notes[0]
    assert "secret" not in caplog.text


def test_download_goes_on_after_a_cut_of_the_line_to_the_bucket(
    served: Served,
    aws: Moto,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored(served)
    url = httpx.URL(aws.url)
    with cutting((url.host, url.port or 80), MIB + 5000) as proxy:
        real = served.store.download_url

        def through(sha256: str) -> SignedUrl:
            signed = real(sha256)
            assert signed is not None
            # The signature holds the host: the server of the tests does not mind.
            return signed._replace(url=signed.url.replace(f":{url.port}", f":{proxy.port}"))

        monkeypatch.setattr(served.store, "download_url", through)
        with served.owner() as client:
            client.download(SHA, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == DATA
    assert len(reads(aws, served)) == 2
    assert on_the_bill(served) == len(DATA), "no byte is on the bill twice"


def test_address_that_has_expired_is_asked_for_anew(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(served)
    statuses = iter([403, 403])
    get = direct._Download._get
    monkeypatch.setattr(direct._Download, "_get", lambda self, url: next(statuses, None) or get(self, url))
    with served.owner() as client:
        client.download(SHA, tmp_path / "got")
        assert client._http.outside.open
    assert (tmp_path / "got").read_bytes() == DATA
    assert on_the_bill(served) == len(DATA), "an address that was of no use costs nothing"


def committed(served: Served, tmp_path: Path, data: bytes = DATA) -> Kit:
    """Let an agent commit a segment of that content."""
    kit = Kit(served.farm, served.data, now=0.0)
    job = kit.submit([1], samples=16, chunk_samples=8)
    chunk = kit.chunk_ids(job)[0]
    (tmp_path / "segment").write_bytes(data)
    with served.agent() as agent:
        claim = agent.claim(chunk, ClaimRequest(agent="agent1"))
        agent.commit(chunk, token=claim.token, offset=0, count=8, path=tmp_path / "segment")
    [done, _] = served.farm.chunks(kit.frame(job))
    assert done.state is State.COMPLETED
    return kit


def test_large_segment_goes_straight_to_the_bucket_and_is_read_before_it_counts(
    served: Served,
    bucket: Unreliable,
    aws: Moto,
    tmp_path: Path,
) -> None:
    committed(served, tmp_path)
    assert len(aws.requests("PUT", "/incoming/")) >= 1
    assert bucket.real.head(KEY) is not None
    assert list(bucket.real.objects("incoming/")) == []
    assert served.store.intact(SHA)


def test_small_segment_goes_to_the_manager(served: Served, bucket: Unreliable, tmp_path: Path) -> None:
    committed(served, tmp_path, b"small")
    assert "copy" not in bucket.calls


@pytest.mark.parametrize("change", [b"", DATA[:-1] + b"x"], ids=["nothing", "other"])
def test_segment_that_arrives_wrong_in_the_bucket_goes_to_the_manager(
    served: Served, bucket: Unreliable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: bytes
) -> None:
    put = httpx.Client.put

    def wrong(self: httpx.Client, url: str, **arguments: object) -> httpx.Response:
        headers = {"Content-Type": "application/octet-stream", "If-None-Match": "*", "Content-Length": str(len(change))}
        return put(self, url, content=change, headers=headers)

    monkeypatch.setattr(httpx.Client, "put", wrong)
    committed(served, tmp_path)
    assert "copy" not in bucket.calls
    assert served.store.intact(SHA)


def test_agent_cannot_make_a_blob_of_what_it_put_without_its_hash(served: Served) -> None:
    with served.http("agent") as http:
        place = http.post("/v1/incoming", json={"size_bytes": 2 * MIB}).json()
        assert "/incoming/" in place["url"]
        for name, status in ((place["name"], 422), ("../blobs", 422)):
            path = f"/v1/chunks/x/segments?token=1&offset=0&count=1&incoming={name}"
            assert http.put(path).status_code == status


@pytest.mark.parametrize(
    ("error", "seen"),
    [(StoreUnreachable("the bucket is away"), StoreUnreachable), (StoreRefused("the bucket is full"), StoreRefused)],
    ids=["away", "full"],
)
def test_agent_is_told_to_wait_while_the_bucket_takes_nothing(
    served: Served, bucket: Unreliable, tmp_path: Path, error: Exception, seen: type[Exception]
) -> None:
    kit = Kit(served.farm, served.data, now=0.0)
    job = kit.submit([1], samples=16, chunk_samples=8)
    first, second = kit.chunk_ids(job)
    (tmp_path / "segment").write_bytes(b"pixels")
    served.store._outage._probe_s = 0.01
    with served.agent() as agent:
        claim = agent.claim(first, ClaimRequest(agent="agent1"))
        bucket.error = error
        with pytest.raises(seen):
            agent.commit(first, token=claim.token, offset=0, count=8, path=tmp_path / "segment")
        assert agent.claim(second, ClaimRequest(agent="agent1")).state == "later"
        bucket.error = None
        agent.commit(first, token=claim.token, offset=0, count=8, path=tmp_path / "segment")
        while served.store.trouble():
            """Its end is noticed within an instant."""
        assert agent.claim(second, ClaimRequest(agent="agent1")).state == "render"


def test_answer_is_cut_off_when_the_bucket_stops_in_the_middle(
    served: Served, bucket: Unreliable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(served)
    for path in (served.store.root / "blobs").rglob(SHA):
        path.unlink()
    monkeypatch.setattr(served.store, "download_url", lambda sha256: None)
    bucket.cuts = [PIECE_BYTES + 1000]
    with served.owner() as client:
        client.download(SHA, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == DATA
    assert bucket.calls.count("stream") == 2
    assert served.store.has(SHA)


def test_addresses_are_in_no_log_and_not_in_the_ledger(
    served: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        committed(served, tmp_path)
        with served.owner() as client:
            client.download(SHA, tmp_path / "got")
    assert caplog.records
    assert "Signature" not in caplog.text
    assert b"X-Amz-Signature" not in (served.data / "ledger.db").read_bytes()


def test_bucket_is_trusted_by_the_systems_certificates_only(served: Served) -> None:
    http = Http(served.connection())
    with http:
        context = http.outside.client._transport._pool._ssl_context
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert http.outside.client.auth is None
        assert not http.outside.client.trust_env
