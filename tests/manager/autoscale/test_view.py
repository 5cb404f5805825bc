"""The situation as the ledger has it: what jobs want, what machines do, what caps leave."""

from __future__ import annotations

from pathlib import Path

import pytest

from blendnet.manager.autoscale.market import CPU, GPU
from blendnet.manager.autoscale.view import FINISH_S, wants_gpu
from blendnet.messages import AgentReport
from blendnet.models import State
from blendnet.provision.base import InstanceState, MachineType, Offer
from blendnet.provision.situation import ANY_DEVICE
from tests.manager.autoscale.cloud import GIB, LARGE, SMALL, USD
from tests.manager.autoscale.loops import POLL_S, Fleet, machine, make_fleet, situation

CARD = MachineType("card", vcpus=8, memory_bytes=32 * GIB, gpus=1, gpu="L4")


def test_a_job_wants_what_is_not_rendered_yet(fleet: Fleet) -> None:
    job = fleet.kit.submit([1, 2], samples=64, chunk_samples=16, priority=3)
    (need,) = situation(fleet).needs
    assert (need.job, need.work_s, need.chunks, need.device, need.priority) == (job.id, None, 8, ANY_DEVICE, 3)
    fleet.kit.render(fleet.kit.chunk_ids(job)[0])
    (need,) = situation(fleet).needs
    assert (need.work_s, need.chunks) == (pytest.approx((128 - 16) * 0.5), 7)


def test_a_job_that_is_rendered_keeps_one_agent_for_its_finish(fleet: Fleet) -> None:
    job = fleet.kit.submit([1])
    frame = fleet.kit.render_frame(job)
    (need,) = situation(fleet).needs
    assert (need.work_s, need.chunks, need.device) == (FINISH_S, 1, ANY_DEVICE)
    fleet.kit.merge(frame)
    fleet.kit.finish(frame)
    assert fleet.kit.farm.job(job.id).state is State.COMPLETED
    assert situation(fleet).needs == []


def test_paused_jobs_and_jobs_without_money_want_nothing(fleet: Fleet) -> None:
    job = fleet.joined()
    fleet.kit.farm.pause(job.id, fleet.kit.now)
    assert situation(fleet).needs == []
    fleet.kit.farm.resume(job.id, fleet.kit.now)
    assert len(situation(fleet).needs) == 1
    fleet.kit.farm.set_farm_caps(fleet.kit.now, farm_usd=1e-9)
    fleet.pass_time(5.0)
    assert situation(fleet).needs == []


@pytest.mark.parametrize(("device", "wanted"), [("CPU", ANY_DEVICE), ("GPU", GPU), ("OPTIX", GPU)])
def test_a_job_for_gpus_wants_machines_with_gpus(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, device: str, wanted: str
) -> None:
    monkeypatch.setitem(USD, "card", 0.5)
    fleet.cloud.types = (SMALL, LARGE, CARD)
    fleet.kit.submit([1], device=device)
    gpu = wants_gpu(fleet.kit.farm)
    assert gpu is (wanted == GPU)
    found = situation(fleet, gpu=gpu)
    assert found.needs[0].device == wanted
    assert {choice.offer.machine for choice in found.choices if choice.device == GPU} == ({"card"} if gpu else set())
    fleet.tick()
    assert fleet.cloud.machines[0].machine == ("card" if gpu else "small")
    assert fleet.cloud.user_data["agent-1"].endswith("with a driver") is gpu


def test_a_machine_counts_from_the_moment_it_is_asked_for(fleet: Fleet) -> None:
    fleet.kit.submit([1])
    fleet.loop._book.intend(["agent-1"], [Offer("small", "", True)], {}, now=fleet.kit.now)
    asked_at = fleet.kit.now
    fleet.pass_time(5.0)
    found = machine(fleet)
    assert (found.state, found.launched_at, found.joined_at) == (InstanceState.STARTING, asked_at, None)
    assert (found.usd_per_hour, found.wanted, found.idle_since) == (None, True, None)


def test_a_working_machine_says_for_whom_and_how_long(fleet: Fleet) -> None:
    job = fleet.joined()
    chunk = fleet.kit.chunk_ids(job)[0]
    claim = fleet.kit.claim(chunk, "agent-1")
    found = machine(fleet)
    assert (found.job, found.idle_since, found.busy_left_s) == (job.id, None, None)
    fleet.kit.farm.heartbeat(chunk, claim.token, fleet.kit.now, 4, sample_s=2.0, rest_s=24.0)
    fleet.kit.later(4.0)
    found = machine(fleet)
    assert (found.busy_left_s, found.unsaved_s) == (20.0, fleet.kit.farm.settings.sub_pass_s)
    assert (found.offer, found.usd_per_hour, found.speed, found.device) == (Offer("small", "", True), 0.1, 1.0, CPU)


def test_a_machine_without_work_is_idle_since_then(fleet: Fleet) -> None:
    fleet.joined()
    since = machine(fleet).idle_since
    assert since is not None
    fleet.pass_time(20.0)
    assert machine(fleet).idle_since == since


def test_agents_are_silent_only_after_they_should_have_reported(fleet: Fleet) -> None:
    fleet.joined()
    heard_at = fleet.kit.now
    fleet.speaking.clear()
    fleet.pass_time(10.0)
    assert machine(fleet).silent_since is None
    fleet.pass_time(10.0)
    assert machine(fleet).silent_since == heard_at
    fleet.kit.farm.forget_agent("agent-1", fleet.kit.now)
    assert machine(fleet).silent_since is not None, "nobody waits for an agent that was forgotten"


def test_an_agent_that_leaves_is_about_to_end(fleet: Fleet) -> None:
    fleet.joined()
    fleet.kit.farm.report("agent-1", AgentReport(pid=1, state="draining"), fleet.kit.now)
    said_at = fleet.kit.now
    assert machine(fleet).ending_since == said_at
    fleet.kit.later(5.0)
    assert machine(fleet).ending_since == said_at
    fleet.kit.farm.report("agent-1", AgentReport(pid=1), fleet.kit.now)
    assert machine(fleet).ending_since is None, "it has come back"


def test_a_machine_is_billed_as_its_cloud_does(fleet: Fleet) -> None:
    fleet.joined()
    assert machine(fleet).step_s == 0
    fleet.cloud.name = "linode"
    fleet.restart()
    fleet.tick()
    assert machine(fleet).step_s == 3600


def test_caps_count_everything_that_was_spent(tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path, cap_day_usd=5.0, cap_farm_usd=9.0)
    fleet.joined()
    fleet.pass_time(3600.0 - POLL_S)
    caps = {cap.name: cap for cap in situation(fleet).caps}
    assert {name: cap.limit_usd for name, cap in caps.items()} == {"day": 5.0, "farm": 9.0}
    assert caps["farm"].spent_usd == pytest.approx(0.1)
    assert {cap.job for cap in caps.values()} == {""}
    fleet.kit.farm.ledger.close()
