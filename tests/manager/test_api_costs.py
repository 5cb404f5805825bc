"""Costs and caps over HTTPS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from blendnet.errors import UserError
from blendnet.messages import AgentReport, FarmCaps
from blendnet.models import State
from tests.manager.farms import Kit
from tests.manager.served import Served, serve


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serve(tmp_path / "farm", agent_usd_per_hour=3600.0, egress_usd_per_gb=1000.0) as farm:
        yield farm


@pytest.fixture
def kit(served: Served) -> Kit:
    return Kit(served.farm, served.data)


def test_what_owners_download_is_counted_and_what_agents_fetch_is_not(served: Served, kit: Kit, tmp_path: Path) -> None:
    blob = kit.blob(b"x" * 1_000_000)
    with served.owner() as owner, served.http("agent") as agent:
        today = owner.costs().day
        owner.download(blob.sha256, tmp_path / "copy")
        assert agent.get(f"/v1/blobs/{blob.sha256}").status_code == 200
        served.farm.close_books(kit.now)
        found = owner.costs(day=today)
    assert (found.of_day.egress_bytes, found.of_day.egress_usd) == (1_000_000, pytest.approx(1.0))


def test_caps_of_jobs_and_of_the_farm_are_set(served: Served, kit: Kit) -> None:
    served.farm.report("agent1", AgentReport(pid=1), kit.now)
    job = kit.submit([1], cap_usd=0.5)
    served.farm.look(kit.now)
    with served.owner() as owner:
        assert (owner.job(job.id).state, owner.job(job.id).cap_usd) == (State.PAUSED, 0.5)
        assert owner.set_cap(job.id, 0).cap_usd is None
        assert owner.job(job.id).state is State.QUEUED
        assert [cap.cap_usd for cap in owner.set_farm_caps(FarmCaps(day_usd=4, farm_usd=9)).caps] == [4, 9]
        assert [cap.cap for cap in owner.set_farm_caps(FarmCaps(day_usd=0)).caps] == ["farm"]


def test_a_day_that_is_none_is_refused(served: Served) -> None:
    with served.owner() as owner, pytest.raises(UserError, match="2026-13-45"):
        owner.costs(day="2026-13-45")


def test_agents_may_not_look_at_costs(served: Served) -> None:
    with served.http("agent") as agent:
        assert agent.get("/v1/costs").status_code == 403
