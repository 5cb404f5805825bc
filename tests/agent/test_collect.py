"""The collector: sub-passes become segments and previews, on time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from blendnet.agent.collect import Cadence, Collector, PassFile, SubPass
from blendnet.agent.uploads import Uploads
from blendnet.merge import exr

SIZE = (6, 8)
DEADLINE_S = 20.0


@dataclass
class Manager:
    """Keeps what it is sent; `held` keeps it from answering."""

    sent: list[tuple[str, int, int]] = field(default_factory=list)
    pictures: list[float] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def segment(self, offset: int, count: int, path: Path) -> None:
        self._note("segment", offset, count, path, "ViewLayer.Combined.R")

    def preview(self, samples: int, path: Path) -> None:
        self._note("preview", 0, samples, path, "R")

    def _note(self, kind: str, offset: int, count: int, path: Path, channel: str) -> None:
        assert self.held.wait(DEADLINE_S)
        with self.changed:
            self.sent.append((kind, offset, count))
            self.pictures.append(float(exr.read(path).channels[channel].mean()))
            self.changed.notify_all()

    def await_count(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.sent) >= count, DEADLINE_S), self.sent

    def previews(self) -> list[tuple[int, float]]:
        """Samples and brightness of each."""
        with self.changed:
            shown = zip(self.sent, self.pictures, strict=True)
            return [(count, value) for (kind, _, count), value in shown if kind == "preview"]

    def segments(self) -> list[tuple[int, int]]:
        return [(offset, count) for kind, offset, count in self.sent if kind == "segment"]


@pytest.fixture
def manager() -> Manager:
    made = Manager()
    made.held.set()
    return made


def collector(
    manager: Manager, folder: Path, *, preview_s: float, segment_s: float, unseen_s: float = 0.0
) -> Collector:
    cadence = Cadence(preview_interval_s=preview_s, segment_interval_s=segment_s, whole_frame=False, unseen_s=unseen_s)
    return Collector(manager, folder=folder, cadence=cadence, attributes={})


def await_taken(folder: Path) -> None:
    """Wait until the collector has added everything: it removes the files then."""
    deadline = time.monotonic() + DEADLINE_S
    while list(folder.glob("pass-*")):
        assert time.monotonic() < deadline
        time.sleep(0.001)


def rendered(folder: Path, offset: int, count: int, *, value: float = 1.0, more: bool = True) -> SubPass:
    """Samples of an even grey, as Blender leaves them."""
    planes = {f"ViewLayer.Combined.{name}": np.full(SIZE, value, np.float32) for name in "RGBA"}
    path = folder / f"pass-{offset}.exr"
    exr.write(path, exr.Image(planes, exr.header_for(SIZE[1], SIZE[0])), compression="NONE")
    return SubPass(offset, count, (PassFile(path, {"ViewLayer": float(count)}),), more=more, rest_s=None)


def add_until(collected: Collector, folder: Path, offset: int, *, reached: Callable[[], bool]) -> None:
    """Hand over bright sub-passes of two samples until `reached`."""
    deadline = time.monotonic() + DEADLINE_S
    while not reached():
        assert time.monotonic() < deadline
        collected.add(rendered(folder, offset, 2, value=3.0))
        offset += 2


def test_segment_is_sent_before_a_preview_when_both_are_due(manager: Manager, tmp_path: Path) -> None:
    collected = collector(manager, tmp_path, preview_s=0.0, segment_s=0.0)
    collected.add(rendered(tmp_path, 0, 4))
    manager.await_count(2)
    collected.finish()
    assert manager.sent == [("segment", 0, 4), ("preview", 0, 4)]


def test_segments_are_sent_again_and_again_when_every_sub_pass_has_a_preview(manager: Manager, tmp_path: Path) -> None:
    collected = collector(manager, tmp_path, preview_s=0.0, segment_s=0.0)
    add_until(collected, tmp_path, 0, reached=lambda: len(manager.segments()) >= 3)
    collected.finish()
    ends = [offset + count for offset, count in manager.segments()]
    assert [offset for offset, _ in manager.segments()] == [0, *ends[:-1]]


def test_segment_is_not_waited_for_when_the_line_is_slow(manager: Manager, tmp_path: Path) -> None:
    manager.held.clear()
    collected = collector(manager, tmp_path, preview_s=0.0, segment_s=0.0)
    for offset in (0, 4, 8):
        collected.add(rendered(tmp_path, offset, 4))
    await_taken(tmp_path)
    manager.held.set()
    collected.finish()
    assert manager.segments() == [(0, 4), (4, 8)]


def test_samples_are_committed_at_the_end_when_no_segment_was_due(manager: Manager, tmp_path: Path) -> None:
    collected = collector(manager, tmp_path, preview_s=1e6, segment_s=1e6)
    collected.add(rendered(tmp_path, 16, 4, value=1.0))
    collected.add(rendered(tmp_path, 20, 12, value=3.0, more=False))
    collected.finish()
    assert manager.segments() == [(16, 16)]
    assert manager.pictures[-1] == pytest.approx(2.5)


def test_preview_shows_all_that_was_rendered_when_a_segment_was_committed(manager: Manager, tmp_path: Path) -> None:
    collected = collector(manager, tmp_path, preview_s=0.0, segment_s=0.0)
    collected.add(rendered(tmp_path, 0, 4, value=1.0))
    manager.await_count(2)
    add_until(collected, tmp_path, 4, reached=lambda: len(manager.previews()) >= 2)
    collected.finish()
    samples, value = manager.previews()[1]
    assert samples > 4
    assert value == pytest.approx((4 * 1.0 + (samples - 4) * 3.0) / samples, rel=1e-3)


def test_nothing_is_sent_and_no_file_stays_when_the_rest_is_dropped(manager: Manager, tmp_path: Path) -> None:
    collected = collector(manager, tmp_path, preview_s=1e6, segment_s=1e6)
    collected.add(rendered(tmp_path, 0, 4))
    collected.drop()
    assert manager.segments() == []
    assert list(tmp_path.iterdir()) == []


def test_failed_upload_is_raised_by_the_next_call(tmp_path: Path) -> None:
    uploads = Uploads()

    def fail(path: Path) -> None:
        raise OSError("line cut")

    uploads.start(fail, tmp_path / "a", make=Path.touch)
    with pytest.raises(OSError, match="line cut"):
        uploads.wait()
    uploads.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("unseen_s", "shown"), [(0.0, 0), (60.0, 1)])
def test_short_chunk_has_a_preview_when_nothing_of_its_frame_was_seen_for_long(
    manager: Manager, tmp_path: Path, unseen_s: float, shown: int
) -> None:
    collected = collector(manager, tmp_path, preview_s=5.0, segment_s=60.0, unseen_s=unseen_s)
    collected.add(rendered(tmp_path, 0, 4, more=False))
    collected.finish()
    assert len(manager.previews()) == shown
    assert manager.segments() == [(0, 4)]
