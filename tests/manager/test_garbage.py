"""Making room: nothing that is needed goes, everything else does, and every byte is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blendnet.manager.garbage import LOG_KEEP_S, UNUSED_BLOB_S, EndedJob, plan_jobs
from blendnet.manager.ledger.references import JobReference
from blendnet.messages import Garbage, GarbageRequest, JobView
from blendnet.models import State
from tests.manager.farms import Kit

DAY = 86_400.0
ROLL = [
    EndedJob("old", "old", 10.0),
    EndedJob("new", "new", 20.0),
]
USES = [
    JobReference("old", "shared", replaced=False),
    JobReference("old", "s1", replaced=True),
    JobReference("old", "picture1", replaced=False),
    JobReference("new", "shared", replaced=False),
    JobReference("new", "s2", replaced=True),
    JobReference("running", "s2", replaced=False),
]
SIZES = {"shared": 100, "s1": 10, "picture1": 1, "s2": 1000}


@pytest.mark.parametrize(
    ("max_bytes", "before", "expected"),
    [
        (0, 0.0, []),
        (1111, 0.0, []),
        (1110, 0.0, [(Garbage.SEGMENTS, "old", 10)]),
        (1101, 0.0, [(Garbage.SEGMENTS, "old", 10)]),
        (1100, 0.0, [(Garbage.SEGMENTS, "old", 10), (Garbage.JOB, "old", 1)]),
        (5, 0.0, [(Garbage.SEGMENTS, "old", 10), (Garbage.JOB, "old", 1), (Garbage.JOB, "new", 100)]),
        (0, 15.0, [(Garbage.JOB, "old", 11)]),
        (0, 25.0, [(Garbage.JOB, "old", 11), (Garbage.JOB, "new", 100)]),
    ],
)
def test_least_needed_goes_first(max_bytes: int, before: float, expected: list[tuple[Garbage, str, int]]) -> None:
    steps = plan_jobs(ROLL, USES, SIZES, total_bytes=1111, max_bytes=max_bytes, ended_before=before)
    assert [(step.kind, step.job.id, step.size_bytes) for step in steps] == expected


REFERENCES = st.lists(
    st.builds(JobReference, st.sampled_from(["a", "b", "running"]), st.sampled_from("vwxyz"), replaced=st.booleans()),
    max_size=20,
)


@given(references=REFERENCES, sizes=st.lists(st.integers(0, 9), min_size=5, max_size=5), max_bytes=st.integers(1, 40))
def test_plan_frees_no_file_that_others_need_and_stops_when_it_fits(
    references: list[JobReference], sizes: list[int], max_bytes: int
) -> None:
    by_name = dict(zip("vwxyz", sizes, strict=True))
    held = {reference.sha256 for reference in references}
    total = sum(by_name[name] for name in held)
    jobs = [EndedJob("a", "a", 1.0), EndedJob("b", "b", 2.0)]
    steps = plan_jobs(jobs, references, by_name, total_bytes=total, max_bytes=max_bytes, ended_before=0.0)
    freed = sum(step.size_bytes for step in steps)
    needed = {reference.sha256 for reference in references if reference.job_id == "running"}
    assert total - freed >= sum(by_name[name] for name in needed)
    assert total - freed <= max_bytes or {step.job.id for step in steps if step.kind is Garbage.JOB} == {"a", "b"}


def used_bytes(kit: Kit) -> int:
    """Everything in the data folder but the ledger and what tests wrote."""
    folders = [kit.folder / "store", kit.folder / "previews"]
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())


def previewed(kit: Kit, job: JobView) -> None:
    """Show a preview of the job's first chunk."""
    [chunk, *_] = kit.chunk_ids(job)
    token = kit.claim(chunk).token
    path = kit.folder / "previews" / f"{chunk}.exr"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(77))
    kit.farm.preview(chunk, token, 4, path, kit.now)


def completed(kit: Kit) -> JobView:
    job = kit.submit([1, 2], samples=24, chunk_samples=8)
    previewed(kit, job)
    kit.complete(job)
    return job


def test_removing_a_job_frees_its_space_to_the_byte(kit: Kit) -> None:
    kit.farm.submit(kit.submission([1]), kit.now)
    before = used_bytes(kit)
    job = completed(kit)
    assert used_bytes(kit) > before
    kit.farm.remove(job.id)
    assert used_bytes(kit) == before


def test_dry_run_says_what_the_run_deletes_and_changes_nothing(kit: Kit) -> None:
    job = completed(kit)
    kit.blob(b"nobody knows it")
    os.utime(kit.farm.store.path(kit.blob(b"nobody knows it").sha256), (0, 0))
    kit.farm.note_blobs([kit.blob(b"nobody needs it")], kit.now - 2 * UNUSED_BLOB_S)
    kit.farm.store.set_aside(kit.blob(b"rotten").sha256)
    (kit.folder / "logs").mkdir()
    log = kit.folder / "logs" / "agent-9.log"
    log.write_text("old")
    os.utime(log, (0, kit.now - 2 * LOG_KEEP_S))
    before = used_bytes(kit)
    wanted = GarbageRequest(dry_run=True, max_bytes=1)
    dry = kit.farm.collect(wanted, kit.now)
    assert used_bytes(kit) == before
    assert kit.farm.job(job.id).state is State.COMPLETED
    real = kit.farm.collect(wanted.model_copy(update={"dry_run": False}), kit.now)
    assert real.removals == dry.removals
    assert (real.freed_bytes, real.store_bytes) == (dry.freed_bytes, dry.store_bytes) == (before + len("old"), 0)
    assert {removal.kind for removal in real.removals} == set(Garbage) - {Garbage.UPLOADS}
    assert used_bytes(kit) == 0
    assert kit.farm.jobs() == []


def test_nothing_that_a_running_job_needs_is_deleted(kit: Kit) -> None:
    job = kit.submit([1], samples=24, chunk_samples=8)
    kit.render(kit.chunk_ids(job)[0])
    previewed_bytes = used_bytes(kit)
    report = kit.farm.collect(GarbageRequest(max_bytes=1, older_than_s=1), kit.later(30 * DAY))
    assert report.removals == []
    assert used_bytes(kit) == previewed_bytes


def test_frame_whose_segments_were_collected_is_whole_and_can_still_be_made_again(kit: Kit) -> None:
    job = completed(kit)
    size = kit.farm.collect(GarbageRequest(dry_run=True), kit.now).store_bytes
    report = kit.farm.collect(GarbageRequest(max_bytes=size - 1), kit.now)
    assert [removal.kind for removal in report.removals] == [Garbage.PREVIEWS, Garbage.SEGMENTS]
    assert kit.farm.lost_blobs() == set()
    with kit.farm.ledger.read() as tx:
        assert tx.audit.miscounts() == []
        assert tx.audit.broken_frames() == {}
    merged = next(result for result in kit.farm.results(job.id) if result.kind == "merged")
    kit.farm.store.delete(merged.sha256)
    kit.farm.heal_store(kit.now)
    [frame, _] = kit.farm.frames(job.id)
    assert (frame.done, frame.stage.value) == (0, "render")
    for message in kit.farm.publish_returned(kit.now):
        kit.render(message.id)
    kit.merge(frame.id)
    kit.finish(frame.id)
    assert kit.farm.job(job.id).state is State.COMPLETED


def test_old_jobs_go_by_themselves_when_the_settings_say_so(kit: Kit) -> None:
    job = completed(kit)
    kit.farm.settings = kit.farm.settings.model_copy(update={"job_keep_s": 10 * DAY})
    assert kit.farm.tidy(kit.later(9 * DAY)) != []
    assert [view.id for view in kit.farm.jobs()] == [job.id]
    kit.farm.tidy(kit.later(2 * DAY))
    assert kit.farm.jobs() == []


def test_file_that_is_being_written_down_is_not_unknown_yet(kit: Kit, tmp_path: Path) -> None:
    blob = kit.blob(b"just stored")
    kit.farm.collect(GarbageRequest(), kit.farm.store.listing()[blob.sha256].written_at + 60)
    assert kit.farm.store.has(blob.sha256)
