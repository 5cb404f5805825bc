"""What an agent keeps from task to task: how long it rests after its disk was full, and what was seen of its frame."""

from __future__ import annotations

from pathlib import Path

import pytest

from blendnet.agent.attempt import failure_of
from blendnet.agent.shutdown import Shutdown
from blendnet.agent.slot import REST_FIRST_S, REST_MAX_S, Slot
from blendnet.errors import DiskFull, MergeError
from blendnet.settings import Settings
from tests.agent.recording import RecordingManager


class NotedWaits(Shutdown):
    """Does not wait, but notes how long it was to."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        return False


@pytest.fixture
def shutdown() -> NotedWaits:
    return NotedWaits()


@pytest.fixture
def slot(tmp_path: Path, shutdown: NotedWaits) -> Slot:
    settings = Settings(agent_name="agent-1", agent_dir=tmp_path / "agent")
    return Slot(settings, RecordingManager(tmp_path), shutdown=shutdown)  # type: ignore[arg-type]


def test_agent_with_a_full_disk_rests_longer_each_time_until_something_else_happens(
    slot: Slot, shutdown: NotedWaits
) -> None:
    for _ in range(6):
        failure_of(slot, 1, DiskFull("no space left"))
        slot.rest()
    assert shutdown.waits == [REST_FIRST_S, 10.0, 20.0, 40.0, REST_MAX_S, REST_MAX_S]
    slot.rest()
    failure_of(slot, 1, DiskFull("no space left"))
    slot.rest()
    assert shutdown.waits[6:] == [REST_FIRST_S]


def test_agent_does_not_rest_after_other_failures(slot: Slot, shutdown: NotedWaits) -> None:
    failure_of(slot, 1, MergeError("damaged"))
    slot.rest()
    assert shutdown.waits == []


def test_agent_knows_how_long_nothing_was_seen_of_its_frame(slot: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("blendnet.agent.slot.time.monotonic", lambda: clock[0])
    assert slot.unseen_s("job", 1) == 0.0
    clock[0] += 2.0
    assert slot.unseen_s("job", 1) == 2.0
    slot.seen()
    clock[0] += 1.0
    assert slot.unseen_s("job", 1) == 1.0
    assert slot.unseen_s("job", 2) == 0.0
    assert slot.unseen_s("other", 2) == 0.0
