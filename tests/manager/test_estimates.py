"""Estimates of a farm: from a probe or an earlier render, for the agents that are there, in parts that add up."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from blendnet.errors import MissingFiles, NotFound, SceneError
from blendnet.manager.commitments import FINISH_S as FINISH_KEPT_S
from blendnet.manager.commitments import LATE_S, call_stop_s
from blendnet.manager.estimating import Member, speed_beside, team_of
from blendnet.memory import GIB
from blendnet.messages import (
    AgentReport,
    ChunkReport,
    ClaimRequest,
    EstimateRequest,
    EstimateState,
    EstimateView,
    FinishReport,
    JobSubmission,
    ProbeRequest,
    tree_key,
)
from blendnet.models import State, Strategy
from blendnet.provision.estimate import Pace, rules_of
from blendnet.settings import Settings
from tests.manager.farms import Kit, make_kit

SAMPLE_S, CALL_S, LOAD_S, FINISH_S = 0.5, 0.25, 4.0, 2.0


@pytest.fixture(autouse=True)
def there(kit: Kit) -> None:
    come(kit, "agent1")


def come(kit: Kit, name: str, host: str = "") -> None:
    report = AgentReport(pid=1, host=host or f"host of {name}", render_memory_bytes=4 * GIB)
    kit.farm.report(name, report, kit.now)


def ask(kit: Kit, submission: JobSubmission, *, agents: int | None = None, **settings: Any) -> EstimateView:
    return kit.farm.estimate(
        EstimateRequest(
            settings=submission.settings.model_copy(update=settings),
            description=submission.description,
            tree=tree_key(submission.files),
            agents=agents,
        ),
        kit.now,
    )


def begin(kit: Kit, submission: JobSubmission, **how: Any) -> str:
    request = ProbeRequest(**{name: getattr(submission, name) for name in JobSubmission.model_fields}, **how)
    return kit.farm.start_probe(request, kit.now).id


def play(kit: Kit, job_id: str, agent: str = "agent1", *, slow: float = 1.0, peak: int = 2 * GIB) -> None:
    """Play an agent that renders a probe at the pace above; its scene was not open."""
    job = kit.farm.job(job_id)
    for position in range(job.frames_total):
        (chunk,) = kit.chunk_ids(job, position)
        claim = kit.claim(chunk, agent)
        for offset, count in claim.left:
            kit.farm.commit(chunk, claim.token, offset, count, kit.blob(), kit.now)
        calls = [(count, slow * (CALL_S + count * SAMPLE_S)) for _, count in claim.left]
        report = ChunkReport(
            token=claim.token, render_s=sum(s for _, s in calls), load_s=0.0 if position else LOAD_S,
            samples=claim.samples, calls=calls, peak_memory_bytes=peak,
        )  # fmt: skip
        kit.farm.done(chunk, report, kit.now)
        kit.merge(kit.frame(job, position))
        finish = kit.farm.claim_finish(kit.frame(job, position), ClaimRequest(agent=agent), kit.now)
        kit.farm.done_finish(kit.frame(job, position), FinishReport(token=finish.token, finish_s=FINISH_S), kit.now)


def probed(kit: Kit, submission: JobSubmission, agent: str = "agent1", **how: Any) -> str:
    job_id = begin(kit, submission)
    play(kit, job_id, agent, **how)
    return job_id


def test_scene_that_nobody_has_rendered_needs_a_probe(kit: Kit) -> None:
    submission = kit.submission(samples=100)
    answer = ask(kit, submission)
    assert (answer.state, answer.seconds, answer.probe) == (EstimateState.UNKNOWN, None, None)
    running = begin(kit, submission)
    assert ask(kit, submission).probe == running
    assert begin(kit, submission) == running
    other = submission.settings.model_copy(update={"device": "CUDA"})
    assert ask(kit, submission, device="CUDA").probe is None
    assert begin(kit, submission.model_copy(update={"settings": other})) != running
    play(kit, running)
    assert ask(kit, submission).state is EstimateState.ESTIMATED
    assert ask(kit, submission).probe is None


def test_probe_is_small_alone_and_in_no_list(kit: Kit) -> None:
    submission = kit.submission(list(range(1, 101)), samples=1000, chunk_samples=10, cap_usd=5.0)
    job = kit.farm.job(begin(kit, submission))
    assert (job.probe, job.agents_max, job.name) == (True, 1, "Probe: still life")
    assert (job.frames_total, job.samples_total, job.chunks_total) == (1, 16, 1)
    assert kit.farm.jobs() == []
    (chunk,) = kit.chunk_ids(job)
    assert kit.claim(chunk).left == [(0, 1), (1, 1), (2, 14)]


@pytest.mark.parametrize(
    ("count", "frames"), [(1, [3]), (2, [3, 9]), (3, [3, 7, 9])], ids=["the first", "and the last", "and the middle"]
)
def test_probe_takes_first_last_and_middle_frame(kit: Kit, count: int, frames: list[int]) -> None:
    job_id = begin(kit, kit.submission([3, 5, 7, 9]), probe_frames=count)
    assert [frame.number for frame in kit.farm.frames(job_id)] == frames


def test_probe_of_an_animation_makes_no_video(kit: Kit) -> None:
    assert not kit.farm.job(begin(kit, kit.submission([1, 2], scene={"movie": True}))).movie


def test_probe_without_its_files_is_refused(kit: Kit) -> None:
    submission = kit.submission()
    lost = submission.files[0].model_copy(update={"sha256": "0" * 64})
    with pytest.raises(MissingFiles):
        begin(kit, submission.model_copy(update={"files": [lost]}))


def test_scene_that_cannot_be_rendered_is_not_estimated(kit: Kit) -> None:
    with pytest.raises(SceneError, match="no camera"):
        ask(kit, kit.submission(scene={"has_camera": False}))


def test_probe_is_removed_after_a_while_and_what_it_measured_stays(kit: Kit) -> None:
    submission = kit.submission(samples=100)
    job_id = probed(kit, submission)
    assert kit.farm.forget_probes(kit.now) == []
    assert kit.farm.store.has(submission.files[0].sha256)
    assert kit.farm.forget_probes(kit.later(kit.farm.settings.probe_kept_s)) == [job_id]
    with pytest.raises(NotFound):
        kit.farm.job(job_id)
    assert not kit.farm.store.has(submission.files[0].sha256)
    assert ask(kit, submission).measured_job == job_id


def test_probe_that_nobody_renders_ends_by_itself(kit: Kit) -> None:
    settings = kit.farm.settings
    waiting, held = begin(kit, kit.submission(device="CUDA")), begin(kit, kit.submission(device="OPTIX"))
    other = kit.submit()
    kit.farm.pause(held, kit.now)
    assert kit.farm.forget_probes(kit.later(settings.probe_limit_s - 1)) == []
    assert kit.farm.job(waiting).state is State.QUEUED
    kit.farm.forget_probes(kit.later(1))
    for job_id in (waiting, held):
        job = kit.farm.job(job_id)
        assert (job.state, job.message) == (State.CANCELED, "it did not end within 3600 s (BLENDNET_PROBE_LIMIT_S)")
    assert kit.farm.job(other.id).state is State.QUEUED
    assert set(kit.farm.forget_probes(kit.later(settings.probe_kept_s))) == {waiting, held}


def test_probe_that_somebody_else_removes_meanwhile_keeps_no_other(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = probed(kit, kit.submission(samples=100)), probed(kit, kit.submission(samples=100), slow=2.0)
    remove = kit.farm.remove

    def too_late(job_id: str) -> None:
        remove(job_id)
        if job_id == first:
            raise NotFound(f"no job {job_id}")

    monkeypatch.setattr(kit.farm, "remove", too_late)
    kit.farm.forget_probes(kit.later(kit.farm.settings.probe_kept_s))
    with pytest.raises(NotFound):
        kit.farm.job(second)


@pytest.mark.parametrize("call", [(0, 1.0), (-4, 1.0), (4, -1.0), (4, math.nan), (4, math.inf)])
def test_calls_that_cannot_have_been_are_refused(call: tuple[int, float]) -> None:
    with pytest.raises(ValidationError):
        ChunkReport(token=1, render_s=1.0, samples=4, calls=[call])


def test_probe_that_fails_says_why_and_leaves_the_scene_unknown(kit: Kit) -> None:
    submission = kit.submission()
    job_id = begin(kit, submission)
    kit.fail(kit.chunk_ids(kit.farm.job(job_id))[0], kind="scene")
    assert kit.farm.job(job_id).state is State.FAILED
    answer = ask(kit, submission)
    assert (answer.state, answer.probe) == (EstimateState.UNKNOWN, None)


def test_estimate_has_the_probes_pace_and_its_parts_add_up(kit: Kit) -> None:
    submission = kit.submission([1, 2, 3, 4], samples=1000)
    probed(kit, submission)
    answer = ask(kit, submission, strategy=Strategy.FRAME)
    assert answer.pace is not None
    assert answer.pace.model_dump() == pytest.approx(
        {"sample_s": SAMPLE_S, "call_s": CALL_S, "load_s": LOAD_S, "change_s": 0.0, "finish_s": FINISH_S}
    )
    assert answer.seconds == pytest.approx(sum(part.seconds or 0.0 for part in answer.course))
    parts = {part.name: part.seconds for part in answer.course}
    calls = 1000 * SAMPLE_S / kit.farm.settings.sub_pass_s
    frame_s = 0.5 + 1000 * SAMPLE_S + calls * CALL_S
    assert parts == pytest.approx({"load": LOAD_S, "render": 4 * frame_s + 3 * FINISH_S, "merge and finish": FINISH_S})
    assert answer.seconds_range is not None
    assert answer.seconds_range[0] < answer.seconds < answer.seconds_range[1]
    assert (answer.measured_by, answer.memory_bytes, answer.agents, answer.chunks) == ("probe", 2 * GIB, 1, 4)
    assert (answer.usd, answer.cap_usd) == (None, None)


def test_estimate_grows_with_samples_size_and_frames_and_falls_with_agents(kit: Kit) -> None:
    submission = kit.submission([1, 2, 3, 4], samples=1000, scene={"full_width": 160, "full_height": 90})
    probed(kit, submission)

    def seconds(**settings: Any) -> float:
        answer = ask(kit, submission, strategy=Strategy.FRAME, **settings)
        assert answer.seconds is not None
        return answer.seconds

    usual = seconds()
    assert seconds(samples=2000) == pytest.approx(2 * usual, rel=0.05)
    assert seconds(frames=list(range(8))) == pytest.approx(2 * usual, rel=0.05)
    assert seconds(resolution_percentage=50) == pytest.approx(usual / 4, rel=0.05)
    for name in ("agent2", "agent3", "agent4"):
        come(kit, name)
    assert seconds() == pytest.approx(usual / 4, rel=0.05)
    assert seconds(agents_max=2) == seconds(agents=2) == pytest.approx(usual / 2, rel=0.05)


def test_earlier_render_does_instead_of_a_probe(kit: Kit) -> None:
    submission = kit.submission([1, 2], samples=100, chunk_samples=100)
    job = kit.farm.submit(submission, kit.now)
    kit.complete(job)
    answer = ask(kit, submission)
    assert (answer.state, answer.measured_by, answer.measured_job) == (EstimateState.ESTIMATED, "render", job.id)
    assert answer.pace is not None
    assert (answer.pace.sample_s, answer.pace.load_s) == (0.5, 2.0)


@pytest.mark.parametrize("change", [{"device": "CUDA"}, {"blender": "4.2.0"}], ids=["device", "Blender"])
def test_other_device_or_blender_has_another_pace(kit: Kit, change: dict[str, str]) -> None:
    submission = kit.submission(samples=100)
    probed(kit, submission)
    assert ask(kit, submission, **change).state is EstimateState.UNKNOWN


def test_other_files_are_another_scene(kit: Kit) -> None:
    probed(kit, kit.submission(samples=100))
    other = kit.blob(b"another scene")
    entry = kit.submission().files[0].model_copy(update={"sha256": other.sha256, "size_bytes": other.size_bytes})
    assert ask(kit, kit.submission().model_copy(update={"files": [entry]})).state is EstimateState.UNKNOWN


def test_cost_names_source_and_age_of_the_price_and_a_cap_that_does(tmp_path: Any) -> None:
    kit = make_kit(tmp_path / "priced", agent_usd_per_hour=0.6)
    come(kit, "agent1")
    kit.farm.look(kit.now)
    submission = kit.submission([1], samples=1000, cap_usd=0.01)
    probed(kit, submission)
    kit.later(60)
    answer = ask(kit, submission, strategy=Strategy.FRAME)
    assert answer.seconds is not None
    assert answer.usd is not None
    assert answer.usd == pytest.approx(answer.seconds / 3600 * 0.6)
    assert answer.usd == pytest.approx(sum(part.usd or 0.0 for part in answer.bill))
    assert (answer.usd_per_hour, answer.price_source, answer.price_age_s) == (0.6, "user", 60.0)
    assert answer.usd_range is not None
    assert answer.cap_usd is not None
    kept_back_s = call_stop_s(kit.farm.settings, SAMPLE_S) + 2 * LATE_S + FINISH_KEPT_S
    assert answer.cap_usd >= answer.usd_range[1] + kept_back_s / 3600 * 0.6
    assert "the cap of $0.01 will not do" in answer.warnings
    kit.farm.ledger.close()


def test_agents_that_lack_the_memory_are_named(kit: Kit) -> None:
    submission = kit.submission(samples=100)
    probed(kit, submission, peak=21 * GIB)
    assert any("none can hold it" in text for text in ask(kit, submission).warnings)


def test_agents_on_one_host_share_its_processors(kit: Kit) -> None:
    submission = kit.submission([1, 2, 3, 4], samples=1000)
    probed(kit, submission)
    alone = ask(kit, submission, strategy=Strategy.FRAME)
    come(kit, "agent2", "host of agent1")
    both = ask(kit, submission, strategy=Strategy.FRAME)
    assert alone.pace is not None
    assert both.pace is not None
    assert both.pace.sample_s == pytest.approx(2 * alone.pace.sample_s)
    assert "2 agents share the processors of host of agent1" in both.assumptions


def test_pace_of_a_shared_host_is_kept_as_that_of_the_machine(kit: Kit) -> None:
    come(kit, "agent2", "host of agent1")
    other = kit.submit([1], samples=64, chunk_samples=64)
    kit.claim(kit.chunk_ids(other)[0], "agent2")
    submission = kit.submission(samples=1000, scene={"scene": "Other"})
    probed(kit, submission, slow=2.0)
    answer = ask(kit, submission, agents=1)
    assert answer.pace is not None
    assert answer.pace.sample_s == pytest.approx(SAMPLE_S)


def test_machine_that_has_not_rendered_the_scene_is_taken_for_as_fast_and_said(kit: Kit) -> None:
    submission = kit.submission([1, 2], samples=1000)
    probed(kit, submission)
    come(kit, "agent2")
    answer = ask(kit, submission, strategy=Strategy.FRAME)
    assert any(text.startswith("host of agent2 renders as fast as host of agent1") for text in answer.assumptions)


def test_machines_of_known_speeds_share_the_work_by_them() -> None:
    members = [Member(machine="slow", provider="own"), Member(machine="fast", provider="own")]
    team = team_of(members, {"slow": Pace(sample_s=3.0, load_s=2.0)}, {"fast": 3.0})
    assert team.is_measured
    assert 2 / team.pace.sample_s == pytest.approx(1 / 3.0 + 1 / 1.0)
    assert team.notes == ("fast renders 3 times as fast as slow, as it did with other scenes",)


def test_hours_are_billed_whole_where_one_of_the_clouds_does() -> None:
    members = [Member(machine="a", provider="aws"), Member(machine="b", provider="vultr")]
    team = team_of(members, {"a": Pace(sample_s=3.0, load_s=2.0)}, {"b": 1.0})
    assert team.rules(rules_of(Settings(), notice=True)).billed_step_s == 3600.0


def test_speed_beside_another_machine_is_that_of_scenes_both_have_rendered(kit: Kit) -> None:
    come(kit, "agent2")
    for number, agents in enumerate((("agent1", "agent2"), ("agent2",))):
        blob = kit.blob(b"scene %d" % number)
        entry = kit.submission().files[0].model_copy(update={"sha256": blob.sha256, "size_bytes": blob.size_bytes})
        for agent in agents:
            slow = 2.0 if agent == "agent1" else 1.0
            probed(kit, kit.submission(samples=100).model_copy(update={"files": [entry]}), agent, slow=slow)
    with kit.farm.ledger.read() as tx:
        one, two = (tx.measures.on_machine(f"host of agent{n}") for n in (1, 2))
    assert speed_beside(two, one) == pytest.approx(2.0)
    assert speed_beside(two, []) is None


def test_machines_that_are_still_to_come_boot_and_are_like_the_last_ones(tmp_path: Any) -> None:
    kit = make_kit(tmp_path / "fleet", fleet_provider="aws", fleet_max=3)
    come(kit, "agent1")
    kit.farm.look(kit.now)
    submission = kit.submission(list(range(12)), samples=1000)
    probed(kit, submission)
    answer = ask(kit, submission, strategy=Strategy.FRAME)
    assert answer.agents == 3
    parts = {part.name: part.seconds for part in answer.course}
    assert parts["boot"] == kit.farm.settings.fleet_boot_s
    assert answer.usd is None
    assert any("nobody knows what some of the agents cost" in text for text in answer.warnings)
    assert math.isclose(answer.seconds or 0.0, sum(part.seconds or 0.0 for part in answer.course))
    kit.farm.ledger.close()


def test_late_finish_of_an_older_job_takes_nothing_from_what_a_newer_one_has_measured(kit: Kit) -> None:
    submission = kit.submission([1], samples=100, chunk_samples=100)
    older, newer = (kit.farm.submit(submission, kit.now) for _ in range(2))
    kit.merge(kit.render_frame(older))
    kit.render_frame(newer)
    finish = kit.farm.claim_finish(kit.frame(older), ClaimRequest(agent="agent1"), kit.now)
    kit.farm.done_finish(kit.frame(older), FinishReport(token=finish.token, finish_s=9.0), kit.now)
    answer = ask(kit, submission)
    assert answer.measured_job == newer.id
    assert answer.pace is not None
    assert (answer.pace.sample_s, answer.pace.finish_s) == (0.5, 0.0)
