"""The Manager's logic on a bucket: healing, making room, merging and the doctor, also while the bucket is away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from blendnet.errors import StoreRefused, StoreUnreachable
from blendnet.manager import merging
from blendnet.messages import GarbageRequest
from blendnet.models import Stage, State
from blendnet.storage import bucket_store
from blendnet.storage.bucket_store import BucketStore
from tests.manager.farms import Kit, make_kit
from tests.manager.test_doctor import examine, troubles
from tests.manager.test_merging import merge, rendered, segment
from tests.storage.moto_bucket import Moto
from tests.storage.unreliable import Unreliable

AWAY = StoreUnreachable("the bucket does not answer")


@pytest.fixture
def bucket(aws: Moto) -> Unreliable:
    return Unreliable(aws.open(aws.bucket(), "farm"))


@pytest.fixture
def kit(bucket: Unreliable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kit]:
    """A farm whose copies never last, and whose patience with the bucket is short."""
    monkeypatch.setattr(bucket_store, "RESUME_WAIT_S", 0.01)
    store = BucketStore(bucket, tmp_path / "farm" / "store", cache_bytes=0)
    store._outage._probe_s = 0.01
    made = make_kit(tmp_path / "farm", store=store)
    yield made
    made.farm.ledger.close()


def keys(bucket: Unreliable) -> set[str]:
    return {info.key for info in bucket.real.objects("")}


def key(sha256: str) -> str:
    return f"blobs/{sha256[:2]}/{sha256}"


def drop_copies(kit: Kit) -> None:
    kit.farm.store._copies.trim()


def back(kit: Kit, bucket: Unreliable) -> None:
    """The bucket answers again, and that was noticed."""
    bucket.error = None
    while kit.farm.store.trouble():
        """Within an instant."""


def test_frame_is_merged_from_the_bucket_without_any_copy(kit: Kit, bucket: Unreliable) -> None:
    job, frame_id = rendered(kit, segment(kit, 1.0), segment(kit, 3.0))
    drop_copies(kit)
    assert merge(kit, frame_id)
    [merged] = [result for result in kit.farm.results(job.id) if result.kind == "merged"]
    assert key(merged.sha256) in keys(bucket)
    assert kit.farm.store.intact(merged.sha256)
    assert list((kit.folder / "store" / "uploads").iterdir()) == []


@pytest.mark.parametrize("error", [AWAY, StoreRefused("the bucket is full")], ids=["away", "full"])
def test_merge_waits_for_the_bucket(kit: Kit, bucket: Unreliable, error: Exception) -> None:
    job, frame_id = rendered(kit, segment(kit, 1.0))
    drop_copies(kit)
    bucket.error = error
    for _ in range(2 * kit.farm.settings.max_attempts):
        assert not merge(kit, frame_id)
        kit.later(60)
    [frame] = kit.farm.frames(job.id)
    assert (frame.state, frame.stage) == (State.ACTIVE, Stage.MERGE)
    assert str(error) in frame.message
    back(kit, bucket)
    assert merging.merge_in(kit.farm, frame_id, clock=lambda: kit.now)


def test_damaged_segment_is_found_before_the_merge_and_rendered_again(
    kit: Kit, bucket: Unreliable, tmp_path: Path
) -> None:
    blob = segment(kit, 1.0)
    job, frame_id = rendered(kit, blob, segment(kit, 2.0))
    drop_copies(kit)
    (tmp_path / "bad").write_bytes(bytes(blob.size_bytes))
    bucket.real.put(key(blob.sha256), tmp_path / "bad", sha256=blob.sha256, size_bytes=blob.size_bytes, replace=True)
    assert not merge(kit, frame_id)
    [frame] = kit.farm.frames(job.id)
    assert (frame.stage, frame.done) == (Stage.RENDER, 8)
    assert key(blob.sha256) not in keys(bucket)


def test_lost_objects_are_made_again_and_nothing_else(kit: Kit, bucket: Unreliable) -> None:
    job = kit.submit([1], samples=24, chunk_samples=8)
    kit.complete(job)
    drop_copies(kit)
    [image] = [result for result in kit.farm.results(job.id) if result.kind == "image"]
    bucket.real.delete([key(image.sha256)])
    found = kit.farm.heal_store(kit.now)
    assert [finding.trouble.value for finding in found] == ["result-lost"]
    [frame] = kit.farm.frames(job.id)
    assert (frame.stage, frame.done) == (Stage.FINISH, 24)


def test_nothing_is_made_again_while_the_bucket_is_away_or_empty(kit: Kit, bucket: Unreliable) -> None:
    job = kit.submit([1], samples=24, chunk_samples=8)
    kit.complete(job)
    drop_copies(kit)
    bucket.error = AWAY
    with pytest.raises(StoreUnreachable):
        kit.farm.heal_store(kit.now)
    report = examine(kit)
    assert troubles(report)["store"] == ("problem", False)
    assert str(AWAY) in next(check.text for check in report.checks if check.name == "store")
    back(kit, bucket)
    bucket.real.delete(keys(bucket))
    assert "is empty" in next(check.text for check in examine(kit).checks if check.name == "store")
    assert kit.farm.job(job.id).state is State.COMPLETED


def test_removed_job_leaves_nothing_in_the_bucket(kit: Kit, bucket: Unreliable) -> None:
    job = kit.submit([1, 2], samples=24, chunk_samples=8)
    kit.complete(job)
    kit.farm.store.set_aside(kit.blob(b"rotten").sha256)
    request = GarbageRequest(older_than_s=1.0)
    kit.later(10)
    dry = kit.farm.collect(request.model_copy(update={"dry_run": True}), kit.now)
    before = keys(bucket)
    assert kit.farm.collect(request, kit.now).freed_bytes == dry.freed_bytes > 0
    assert any(name.startswith("damaged/") for name in before)
    assert keys(bucket) == set()


def test_job_is_removed_while_the_bucket_is_away_and_its_objects_later(kit: Kit, bucket: Unreliable) -> None:
    job = kit.submit([1], samples=24, chunk_samples=8)
    kit.complete(job)
    bucket.error = AWAY
    kit.farm.remove(job.id)
    assert kit.farm.jobs() == []
    back(kit, bucket)
    assert keys(bucket) != set()
    kit.farm.sweep(kit.now)
    assert keys(bucket) == set()
