"""Downloads that cost money, over HTTPS: refused before their first byte, and on the bill as they were sent."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from blendnet.client import transfers
from blendnet.errors import CapReached
from blendnet.manager.egress import GB
from blendnet.messages import Blob, FarmCaps
from tests.manager.served import Served, put, serve, wait_until

MIB = 1 << 20
DATA = random.Random(7).randbytes(2 * MIB + 17)
LARGE_BYTES = 48 * MIB
"""More than lies in sockets on its way."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A farm that sends a byte for a dollar."""
    with serve(tmp_path / "farm", egress_usd_per_gb=GB) as served:
        yield served


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "RETRY_WAITS_S", (0.01, 0.02))


def stored(served: Served, data: bytes = DATA) -> Blob:
    return put(served.store, data)


def on_the_bill(served: Served) -> int:
    """Bytes, with all that has ended."""
    with served.owner() as owner:
        now = owner.costs().at
        served.farm.look(now)
        served.farm.write_counts(now, at_once=True)
        return owner.costs().in_all.egress_bytes


def test_a_download_is_refused_in_one_sentence_until_the_cap_is_raised(served: Served, tmp_path: Path) -> None:
    blob, target = stored(served), tmp_path / "got"
    with served.owner() as owner, served.http() as http:
        owner.set_farm_caps(FarmCaps(farm_usd=float(len(DATA) - 1)))
        answer = http.get(f"/v1/blobs/{blob.sha256}")
        assert (answer.status_code, answer.json()["code"]) == (402, "cap_reached")
        details = answer.json()["details"]
        assert (details["cap"], details["file_usd"]) == ("farm", float(len(DATA)))
        with pytest.raises(CapReached, match="`blendnet costs --cap-farm"):
            owner.download(blob.sha256, target)
        assert not target.exists()
        assert list(tmp_path.glob(".got*")) == []
        assert on_the_bill(served) == 0
        owner.set_farm_caps(FarmCaps(farm_usd=details["enough_usd"]))
        owner.download(blob.sha256, target)
    assert target.read_bytes() == DATA
    assert on_the_bill(served) == len(DATA)


def test_agents_fetch_without_being_asked_for_money(served: Served, tmp_path: Path) -> None:
    blob = stored(served)
    served.farm.set_farm_caps(0.0, farm_usd=1.0)
    with served.agent() as agent:
        agent.download(blob.sha256, tmp_path / "got")
    assert on_the_bill(served) == 0


def test_of_downloads_at_the_same_time_as_many_go_as_there_is_money_for(served: Served) -> None:
    blobs = [stored(served, DATA + bytes([number])) for number in range(6)]
    served.farm.set_farm_caps(0.0, farm_usd=2.5 * len(DATA))

    def fetch(blob: Blob) -> int:
        with served.http() as http:
            return http.get(f"/v1/blobs/{blob.sha256}").status_code

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(fetch, blobs)) == [200, 200, 402, 402, 402, 402]
    assert on_the_bill(served) == 2 * (len(DATA) + 1)


@pytest.mark.parametrize(("asked", "size_bytes"), [("bytes=0-9", 10), ("bytes=-5", 5), (f"bytes={len(DATA)}-", 0)])
def test_a_part_costs_a_part(served: Served, asked: str, size_bytes: int) -> None:
    blob = stored(served)
    served.farm.set_farm_caps(0.0, farm_usd=10.0)
    with served.http() as http:
        assert http.get(f"/v1/blobs/{blob.sha256}", headers={"Range": asked}).status_code in (206, 416)
        assert http.get(f"/v1/blobs/{blob.sha256}", headers={"Range": "bytes=0-10"}).status_code == 402
    assert on_the_bill(served) == size_bytes


def test_a_download_that_breaks_off_costs_what_was_sent(served: Served) -> None:
    blob = stored(served, random.Random(1).randbytes(LARGE_BYTES))
    with served.http() as http, http.stream("GET", f"/v1/blobs/{blob.sha256}") as answer:
        pieces = answer.iter_raw(1000)  # Kept: the answer ends with it.
        next(pieces)
        assert on_the_bill(served) == LARGE_BYTES, "while it is on its way"
    wait_until(lambda: on_the_bill(served) < LARGE_BYTES, 20)
    assert 0 < on_the_bill(served) < LARGE_BYTES / 2
    assert not served.farm.passages.files()


def test_a_damaged_file_costs_no_more_than_what_was_sent_of_it(served: Served) -> None:
    blob = stored(served)
    path = served.store.path(blob.sha256)
    path.chmod(0o644)
    path.write_bytes(DATA[:-1] + bytes([DATA[-1] ^ 1]))
    with served.http() as http:
        with pytest.raises(httpx.RemoteProtocolError):
            http.get(f"/v1/blobs/{blob.sha256}")
        wait_until(lambda: http.get(f"/v1/blobs/{blob.sha256}").status_code == 404, 10)
    wait_until(lambda: on_the_bill(served) <= 2 * MIB, 10)
    assert on_the_bill(served) == 2 * MIB


def test_the_refusal_is_in_the_list_of_calls(served: Served) -> None:
    with served.http() as http:
        paths = http.get("/v1/openapi.json").json()["paths"]
    for path in ("/v1/blobs/{sha256}", "/v1/blobs/{sha256}/url"):
        assert "402" in paths[path]["get"]["responses"]
