"""Agents that nobody starts: they come with a job, render it, and are gone afterwards; what they cost adds up."""

from __future__ import annotations

from pathlib import Path

import pytest

from blendnet.client import ManagerClient
from tests.end_to_end import farms

pytestmark = pytest.mark.end_to_end
PATIENCE_S = 400.0
FLEET = {"fleet_max": 2, "fleet_idle_s": 2, "fleet_poll_s": 1, "agent_usd_per_hour": 3.6}


def agents(client: ManagerClient) -> list[str]:
    """Names of the agents' processes."""
    return [process.name for process in client.farm().processes if process.role == "agent"]


def test_agents_come_for_a_job_and_go_when_it_is_done(example: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    farm = farms.running(data, agents=0, gone_after_s=30, fleet_provider="local", **FLEET)  # type: ignore[arg-type]
    with farm, farms.client(data) as client:
        farms.wait_until(lambda: client.fleet().decided_at, "the fleet was looked at")
        shown = farms.blendnet("fleet", "--data", data, "--json")
        assert shown.code == 0, shown.err
        assert (agents(client), shown.json["machines"]) == ([], [])
        submitted = farms.blendnet("job", "submit", example, "--data", data, "--json")
        assert submitted.code == 0, submitted.err
        job = submitted.json["job"]
        farms.wait_until(lambda: agents(client), "an agent was started")
        assert len(agents(client)) <= 2
        waited = farms.blendnet("job", "wait", job, "--data", data, timeout_s=PATIENCE_S)
        assert waited.code == 0, waited.err
        got = farms.blendnet("job", "download", job, "--data", data, "--output", tmp_path / "out")
        assert got.code == 0, got.err
        assert len(list((tmp_path / "out").glob("*_merged.exr"))) == 2
        farms.wait_until(lambda: not agents(client), "the agents are gone", PATIENCE_S)
        farms.wait_until(lambda: not client.fleet().machines, "nothing is paid for", PATIENCE_S)
        assert "No machine of local runs" in farms.blendnet("fleet", "--data", data).out
        assert_costs_add_up(data, job)


def assert_costs_add_up(data: Path, job: str) -> None:
    """Agents cost what the job, booting and idling cost, a tenth of a cent a second."""
    costs = farms.blendnet("costs", "--data", data, "--json").json["in_all"]
    parts = [costs[name] for name in ("jobs_usd", "boot_usd", "idle_usd")]
    assert costs["agents_usd"] == pytest.approx(sum(parts))
    assert all(part > 0 for part in parts)
    billed_s = sum(machine["billed_s"] for machine in costs["agents"])
    assert costs["agents_usd"] == pytest.approx(billed_s * 0.001)
    assert [entry["job"] for entry in costs["jobs"]] == [job]


def test_a_farm_that_ends_takes_the_agents_that_came_by_themselves_with_it(example: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with farms.running(data, agents=0, gone_after_s=0, fleet_provider="local", **FLEET):  # type: ignore[arg-type]
        assert farms.blendnet("job", "submit", example, "--samples", "100000", "--data", data).code == 0
        with farms.client(data) as client:
            farms.wait_until(lambda: agents(client), "an agent was started")
    assert "Traceback" not in (data / "logs" / "service.log").read_text()
