"""What keeps a Manager on a machine of its own up, and what it does there: looked at on a real farm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from blendnet.errors import UserError
from blendnet.manager.attendance import Attendance
from blendnet.manager.gate import Opening
from blendnet.manager.headquarters import Headquarters, sight
from tests.manager.farms import Kit, make_kit
from tests.manager.served import Served, serve, wait_until


@dataclass
class Row:
    name: str


@dataclass
class Loop:
    """Of a fleet's loop what is asked here."""

    there: list[Row] = field(default_factory=list)
    retired: list[bool] = field(default_factory=list)

    def machines(self) -> list[Row]:
        return self.there

    def retire(self, retired: bool) -> None:
        self.retired.append(retired)


@dataclass
class Fleet:
    loop: Loop | None = None
    stopped: bool = False

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    made = make_kit(tmp_path)
    made.farm.open_books()
    yield made
    made.farm.ledger.close()


def busy(kit: Kit) -> list[str]:
    kit.farm.look(kit.now)
    return [*sight(kit.farm, Fleet(), Attendance()).busy]  # type: ignore[arg-type]


def test_a_job_to_render_keeps_it_up_until_it_is_done(kit: Kit) -> None:
    assert busy(kit) == []
    job = kit.submit([1])
    assert busy(kit) == [f"job {job.id} is queued"]
    kit.complete(job)
    assert busy(kit) == []


def test_a_paused_job_does_not_keep_it_up_but_a_chunk_in_work_does(kit: Kit) -> None:
    job = kit.submit([1], chunk_samples=16)
    chunk = kit.chunk_ids(job)[0]
    kit.claim(chunk)
    kit.farm.pause(job.id, kit.now)
    assert busy(kit) == [f"chunk {chunk} is with agent1"]
    kit.farm.agent_lost("agent1", kit.now)
    assert busy(kit) == []


def test_a_job_that_waits_for_money_does_not_keep_it_up(kit: Kit) -> None:
    job = kit.submit([1])
    kit.farm.gate.open(Opening(shut="the cap of the day is reached"))
    found = sight(kit.farm, Fleet(), Attendance())  # type: ignore[arg-type]
    assert (found.busy, job.state.value) == ([], "queued")


def test_machines_and_requests_are_seen(kit: Kit) -> None:
    now = [7.0]
    attendance = Attendance(lambda: now[0])
    attendance.begin()
    found = sight(kit.farm, Fleet(Loop([Row("agent-1")])), attendance)  # type: ignore[arg-type]
    assert (found.machines, found.requests, found.asked_at) == (["agent-1"], 1, 7.0)
    now[0] = 9.0
    attendance.end()
    found = sight(kit.farm, Fleet(), attendance)  # type: ignore[arg-type]
    assert (found.machines, found.requests, found.asked_at) == ([], 0, 9.0)


def test_a_bucket_without_an_address_to_tell_is_refused(tmp_path: Path) -> None:
    kit = make_kit(tmp_path, manager_bucket="s3://farm")
    with pytest.raises(UserError, match="BLENDNET_LISTEN"):
        Headquarters(kit.farm, Fleet(), security=tmp_path, port=443, renewed=lambda: None, outside=False)  # type: ignore[arg-type]
    kit.farm.ledger.close()


# --- attendance ------------------------------------------------------------------------------------------------------


@pytest.fixture
def attended(tmp_path: Path) -> Iterator[tuple[Served, Attendance]]:
    attendance = Attendance()
    with serve(tmp_path, attendance=attendance) as served:
        yield served, attendance


def test_only_owners_requests_count(attended: tuple[Served, Attendance]) -> None:
    served, attendance = attended
    before = attendance.seen()
    with served.http(None) as stranger:
        stranger.get("/health")
        stranger.get("/v1/farm")
    with served.http("agent") as agent:
        agent.get("/v1/farm")
    assert attendance.seen() == before
    with served.owner() as owner:
        owner.farm()
    wait_until(lambda: attendance.seen()[1] > before[1], 5.0)
    assert attendance.seen()[0] == 0


def test_a_request_that_is_not_finished_counts_as_long_as_it_takes(attended: tuple[Served, Attendance]) -> None:
    served, attendance = attended
    with served.socket() as line:
        line.sendall(served.head("POST", "/v1/farm/gc", Content_Length="10", Content_Type="application/json"))
        wait_until(lambda: attendance.seen()[0] == 1, 5.0)
    wait_until(lambda: attendance.seen()[0] == 0, 5.0)
