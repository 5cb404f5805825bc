"""What a scene took before is held against the memory of the agents: a sentence before it is sent, and on the job."""

from __future__ import annotations

import pytest

from blendnet.memory import GIB
from blendnet.messages import (
    AgentReport,
    ChunkReport,
    ClaimRequest,
    FailureReport,
    FileEntry,
    FinishReport,
    JobCheck,
    JobSubmission,
    tree_key,
)
from tests.manager.farms import Kit


def there(kit: Kit, **rooms: int | None) -> None:
    """Agents whose Blender may take so much."""
    for name, room in rooms.items():
        host = f"host of {name}"
        kit.farm.report(name, AgentReport(pid=1, host=host, render_memory_bytes=room), kit.now)


def rendered(kit: Kit, submission: JobSubmission, peak: int | None, agent: str = "big") -> str:
    """Render a job's only chunk with such a peak; its id."""
    job = kit.farm.submit(submission, kit.now)
    (chunk,) = kit.chunk_ids(job)
    claim = kit.claim(chunk, agent)
    kit.farm.commit(chunk, claim.token, 0, claim.samples, kit.blob(), kit.now)
    report = ChunkReport(token=claim.token, render_s=8.0, load_s=2.0, samples=claim.samples, peak_memory_bytes=peak)
    kit.farm.done(chunk, report, kit.now)
    return job.id


def scene(kit: Kit, content: bytes = b"a scene", root: str = "/home/ada") -> JobSubmission:
    blob = kit.blob(content)
    files = [FileEntry(path="scene.blend", sha256=blob.sha256, size_bytes=blob.size_bytes)]
    return kit.submission(chunk_samples=64).model_copy(update={"files": files, "root": root})


def checked(kit: Kit, submission: JobSubmission, *, tree: bool = True, path: bool = True) -> list[str]:
    """What is said of memory before that is sent."""
    answer = kit.farm.check(
        JobCheck(
            settings=submission.settings,
            description=submission.description,
            tree=tree_key(submission.files) if tree else "",
            scene_path=f"{submission.root}/{submission.scene}" if path else "",
        )
    )
    return [text for text in answer.warnings if "memory" in text]


def test_scene_that_fits_nowhere_is_said_before_it_is_sent_and_on_its_job(kit: Kit) -> None:
    there(kit, small=6 * GIB, big=12 * GIB)
    submission = scene(kit)
    before = rendered(kit, submission, 21 * GIB)
    said = (
        f"Blender took 21 GiB of memory for this scene in job {before}, and may take 6 GiB and 12 GiB on the agents "
        "that are there: none can hold it"
    )
    assert checked(kit, submission) == [said]
    again = kit.farm.submit(submission, kit.now)
    assert again.warnings == [said]
    assert said in [event.text for event in kit.farm.events(again.id) if event.level == "warning"]


def test_agents_that_cannot_hold_a_scene_are_named(kit: Kit) -> None:
    there(kit, small=6 * GIB, tiny=2 * GIB, big=30 * GIB)
    submission = scene(kit)
    rendered(kit, submission, 21 * GIB)
    assert checked(kit, submission)[0].endswith(": small (6 GiB) and tiny (2 GiB) cannot hold it")


@pytest.mark.parametrize(
    ("rooms", "peak"),
    [({"big": 30 * GIB}, 21 * GIB), ({"big": None}, 21 * GIB), ({"big": 1 * GIB}, None)],
    ids=["it fits", "agents do not tell", "nobody measured it"],
)
def test_nothing_is_claimed_where_all_is_well_or_unknown(kit: Kit, rooms: dict[str, int | None], peak: int) -> None:
    there(kit, **rooms)
    submission = scene(kit)
    rendered(kit, submission, peak)
    assert checked(kit, submission) == []


def test_agent_that_does_not_tell_may_hold_what_others_cannot(kit: Kit) -> None:
    there(kit, old=None, big=4 * GIB)
    submission = scene(kit)
    rendered(kit, submission, 21 * GIB)
    assert checked(kit, submission)[0].endswith(": big (4 GiB) cannot hold it")


def test_agents_that_are_gone_do_not_count(kit: Kit) -> None:
    there(kit, big=30 * GIB, small=2 * GIB)
    submission = scene(kit)
    rendered(kit, submission, 21 * GIB)
    kit.farm.report("small", AgentReport(pid=1, state="stopped", render_memory_bytes=2 * GIB), kit.now)
    assert checked(kit, submission) == []


def test_scene_that_was_changed_is_known_by_its_path(kit: Kit) -> None:
    there(kit, big=4 * GIB)
    rendered(kit, scene(kit), 21 * GIB)
    changed = scene(kit, b"the scene with one more cube")
    assert "none can hold it" in checked(kit, changed)[0]
    assert checked(kit, changed, path=False) == []
    assert checked(kit, scene(kit, b"another", root="/home/ben")) == []


def test_files_are_known_wherever_they_lie(kit: Kit) -> None:
    there(kit, big=4 * GIB)
    rendered(kit, scene(kit), 21 * GIB)
    assert checked(kit, scene(kit, root="/moved"))
    assert checked(kit, scene(kit, root="/moved"), tree=False) == []


def test_highest_peak_of_all_jobs_counts_also_when_they_are_removed(kit: Kit) -> None:
    there(kit, big=14 * GIB)
    submission = scene(kit)
    first = rendered(kit, submission, 21 * GIB)
    kit.farm.cancel(first, kit.now)
    kit.farm.remove(first)
    rendered(kit, scene(kit), 5 * GIB)
    assert "21 GiB" in checked(kit, submission)[0]


def test_attempt_that_ran_out_of_memory_says_how_much_is_not_enough(kit: Kit) -> None:
    there(kit, big=4 * GIB)
    submission = scene(kit)
    job = kit.farm.submit(submission, kit.now)
    (chunk,) = kit.chunk_ids(job)
    claim = kit.claim(chunk, "big")
    report = FailureReport(token=claim.token, kind="memory", message="none left", peak_memory_bytes=5 * GIB)
    kit.farm.failed(chunk, report, kit.now)
    assert "5 GiB" in checked(kit, submission)[0]


def test_finishing_a_frame_may_take_more_than_rendering_it(kit: Kit) -> None:
    there(kit, big=4 * GIB)
    submission = scene(kit)
    job = kit.farm.job(rendered(kit, submission, 2 * GIB))
    kit.merge(kit.frame(job))
    claim = kit.farm.claim_finish(kit.frame(job), ClaimRequest(agent="big"), kit.now)
    report = FinishReport(token=claim.token, finish_s=3.0, peak_memory_bytes=7 * GIB)
    kit.farm.done_finish(kit.frame(job), report, kit.now)
    assert "7 GiB" in checked(kit, submission)[0]


def test_measures_are_kept_for_the_newest_scenes_alone(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blendnet.manager.ledger.measures.KEPT", 2)
    there(kit, big=1 * GIB)
    for number in range(4):
        kit.later(1)
        rendered(kit, scene(kit, b"scene %d" % number, root=f"/{number}"), 2 * GIB)
    known = [bool(checked(kit, scene(kit, b"scene %d" % number, root=f"/{number}"))) for number in range(4)]
    assert known == [False, False, True, True]
