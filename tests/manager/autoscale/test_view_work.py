"""How much work is left, in seconds of a reference agent: of what failed none, and whoever has measured it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from blendnet.manager.autoscale.market import CPU, GPU, TYPES_OF_A_KIND
from blendnet.messages import AgentReport, ChunkReport, JobView
from blendnet.provision.base import MachineType, Offer
from blendnet.provision.situation import Machine, Need
from tests.manager.autoscale.cloud import GIB, LARGE, SMALL, USD
from tests.manager.autoscale.loops import POLL_S, Fleet, machine, situation

CARDS = [MachineType(f"card{n}", vcpus=8, memory_bytes=64 * GIB, gpus=1, gpu="L4") for n in range(TYPES_OF_A_KIND + 1)]
"""One more than take part."""


def need(fleet: Fleet) -> Need:
    (found,) = situation(fleet).needs
    return found


def large_first(fleet: Fleet, patch: pytest.MonkeyPatch, **settings: object) -> JobView:
    """A job, and for it a machine that is twice as fast as the reference agent: the cheapest for what it does."""
    patch.setitem(USD, "large", 0.16)
    job = fleet.joined(**settings)
    assert (fleet.row("agent-1").machine, machine(fleet).speed) == ("large", 2.0)
    return job


def say(fleet: Fleet, chunk: str, agent: str, sample_s: float) -> None:
    """An agent begins with a chunk, and tells how long a sample takes it."""
    claim = fleet.kit.claim(chunk, agent)
    fleet.kit.farm.heartbeat(chunk, claim.token, fleet.kit.now, 1, sample_s=sample_s, rest_s=10 * sample_s)


def test_chunks_of_frames_that_failed_are_no_work(fleet: Fleet) -> None:
    job = fleet.joined(frames=[1, 2, 3], chunk_samples=16)
    fleet.kit.render(fleet.kit.chunk_ids(job)[0], "agent-1")
    assert (need(fleet).work_s, need(fleet).chunks) == (pytest.approx((3 * 64 - 16) * 0.5), 11)
    # One that is half done goes with the others, what is done of it stays done.
    chunk = fleet.kit.chunk_ids(job)[1]
    claim = fleet.kit.claim(chunk, "agent-1")
    fleet.kit.farm.commit(chunk, claim.token, 16, 8, fleet.kit.blob(), fleet.kit.now)
    fleet.kit.fail(fleet.kit.chunk_ids(job)[2], "agent-1", kind="scene")
    assert fleet.kit.farm.job(job.id).frames_failed == 1
    assert (need(fleet).work_s, need(fleet).chunks) == (pytest.approx(2 * 64 * 0.5), 8)


def test_no_machines_come_for_chunks_of_frames_that_failed(fleet: Fleet) -> None:
    frames = [*range(1, 7)]
    job = fleet.joined(frames=frames, chunk_samples=64)
    for position in range(len(frames) - 1):
        fleet.kit.fail(fleet.kit.chunk_ids(job, position)[0], "agent-1", kind="scene")
    say(fleet, fleet.kit.chunk_ids(job, len(frames) - 1)[0], "agent-1", 20.0)
    fleet.ticks(3 * POLL_S)
    assert [row.name for row in fleet.rows()] == ["agent-1"], "the last frame has one chunk, and that is rendered"


def test_all_that_was_given_up_and_retried_is_work_again(fleet: Fleet) -> None:
    job = fleet.joined(frames=[1, 2], chunk_samples=64)
    fleet.kit.fail(fleet.kit.chunk_ids(job)[0], "agent-1", kind="scene")
    assert need(fleet).chunks == 1
    fleet.kit.fail(fleet.kit.chunk_ids(job, 1)[0], "agent-1", kind="scene")
    assert situation(fleet).needs == []
    fleet.kit.farm.retry(job.id, fleet.kit.now)
    assert need(fleet).chunks == 2


def test_what_fast_machines_have_measured_is_more_work_for_a_reference_agent(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = large_first(fleet, monkeypatch)
    fleet.kit.render(fleet.kit.chunk_ids(job)[0], "agent-1")
    assert need(fleet).work_s == pytest.approx((64 - 16) * 0.5 * 2)
    fleet.cloud.take_back("agent-1")
    fleet.tick(POLL_S)
    assert need(fleet).work_s == pytest.approx((64 - 16) * 0.5 * 2), "it holds when the machine is gone"


def test_the_longer_a_machine_has_measured_the_more_its_speed_counts(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = large_first(fleet, monkeypatch, frames=[1, 2])
    chunks, small = fleet.kit.chunk_ids(job), Offer("small", "", True)
    fleet.loop._book.intend(["agent-2"], [small], {}, now=fleet.kit.now)
    fleet.cloud.launch("agent-2", small)
    fleet.join("agent-2")
    for chunk, agent, seconds in [(chunks[0], "agent-1", 16.0), (chunks[1], "agent-2", 64.0)]:
        claim = fleet.kit.claim(chunk, agent)
        ((offset, count),) = claim.left
        fleet.kit.farm.commit(chunk, claim.token, offset, count, fleet.kit.blob(), fleet.kit.now)
        report = ChunkReport(token=claim.token, render_s=seconds, load_s=2.0, samples=count)
        fleet.kit.farm.done(chunk, report, fleet.kit.now)
    assert need(fleet).work_s == pytest.approx((128 - 32) * (16.0 * 2 + 64.0 * 1) / 32)


def test_what_an_agent_tells_while_it_renders_is_counted_by_its_speed(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = large_first(fleet, monkeypatch)
    say(fleet, fleet.kit.chunk_ids(job)[0], "agent-1", 3.0)
    assert need(fleet).work_s == pytest.approx(64 * 3.0 * 2)


def test_agents_beside_the_fleet_count_as_reference_agents_when_nobody_else_has_measured(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = large_first(fleet, monkeypatch)
    chunks = fleet.kit.chunk_ids(job)
    fleet.kit.farm.report("own", AgentReport(pid=1), fleet.kit.now)
    say(fleet, chunks[0], "own", 8.0)
    assert need(fleet).work_s == pytest.approx(64 * 8.0)
    say(fleet, chunks[1], "agent-1", 3.0)
    assert need(fleet).work_s == pytest.approx(64 * 3.0 * 2), "its speed is known"


def test_an_agents_speed_does_not_count_for_other_jobs(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    large_first(fleet, monkeypatch)
    other = fleet.kit.submit([1], samples=64, chunk_samples=16)
    fleet.kit.render(fleet.kit.chunk_ids(other)[0], "own")
    assert {of.job: of.work_s for of in situation(fleet).needs}[other.id] == pytest.approx((64 - 16) * 0.5)


def gpu_machine(fleet: Fleet, patch: pytest.MonkeyPatch) -> Machine:
    """A machine with a GPU renders, and its type becomes the dearest of those with GPUs."""
    for number, card in enumerate(CARDS):
        patch.setitem(USD, card.name, 0.5 + 0.001 * number)
    fleet.cloud.types = (SMALL, *CARDS)
    job = fleet.joined(device="GPU", chunk_samples=64)
    devices = ["CPU", "OPTIX: NVIDIA L4"]
    fleet.kit.farm.report("agent-1", AgentReport(pid=1, devices=devices), fleet.kit.now)
    say(fleet, fleet.kit.chunk_ids(job)[0], "agent-1", 60.0)
    (before,) = situation(fleet, gpu=True).machines
    assert (fleet.row("agent-1").machine, before.device, before.speed) == ("card0", GPU, 2.0)
    patch.setitem(USD, "card0", 0.6)
    assert "card0" not in {choice.offer.machine for choice in situation(fleet, gpu=True).choices}
    return before


def test_a_machine_stays_what_it_is_when_its_type_is_on_offer_no_more(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = gpu_machine(fleet, monkeypatch)
    (found,) = situation(fleet, gpu=True).machines
    assert (found.device, found.speed) == (before.device, before.speed)
    fleet.ticks(400.0)
    assert [row.machine for row in fleet.rows()] == ["card0"], "it renders all that there is"


def test_a_new_manager_takes_a_machine_for_what_its_agent_says(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu_machine(fleet, monkeypatch)
    fleet.restart()
    (found,) = situation(fleet, gpu=True).machines
    assert found.device == GPU
    fleet.kit.farm.report("agent-1", AgentReport(pid=1, devices=["CPU"]), fleet.kit.now)
    (found,) = situation(fleet, gpu=True).machines
    assert found.device == CPU


def test_a_machine_in_a_zone_that_nobody_asked_for_is_of_its_type(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    large_first(fleet, monkeypatch)
    fleet.cloud.machines = [replace(made, zone="z9") for made in fleet.cloud.machines]
    fleet.tick(POLL_S)
    assert machine(fleet).speed == LARGE.vcpus / SMALL.vcpus
