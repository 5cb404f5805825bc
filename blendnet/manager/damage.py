"""What becomes of a frame of which the store has lost something. PURE."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from blendnet.manager.findings import Trouble
from blendnet.manager.merges import covers
from blendnet.models import SampleRange, Stage, State

NAMED = 3
"""Ranges or files that a text names at most."""


class Remedy(enum.Enum):
    """Where a frame has to go on."""

    RENDER = Stage.RENDER
    """Samples are rendered again: only those that are in no segment."""
    MERGE = Stage.MERGE
    """The segments are merged again."""
    FINISH = Stage.FINISH
    """The merged frame is finished again."""
    NOTHING = Stage.DONE
    """Nothing that is still needed was lost."""


@dataclass(frozen=True, kw_only=True)
class Damage:
    """What of a frame is there and what is not."""

    stage: Stage
    samples: int
    kept: Sequence[SampleRange]
    """What whole segments hold, by offset."""
    lost: Sequence[SampleRange]
    """What lost segments held, by offset."""
    merged_lost: bool
    results_lost: Sequence[str]
    """Paths of lost results, the merged EXR not among them."""


_REPAIRS = {
    Remedy.RENDER: "the samples that no segment holds are rendered again",
    Remedy.MERGE: "it is merged again from its segments",
    Remedy.FINISH: "it is finished again",
    Remedy.NOTHING: "nothing needs it any more",
}


def remedy(damage: Damage) -> Remedy:
    """Where the frame goes on. Whoever lost nothing that the later stages need loses nothing."""
    if damage.stage in (Stage.RENDER, Stage.MERGE):
        return Remedy.RENDER if damage.lost else Remedy.NOTHING
    if damage.merged_lost:
        return Remedy.MERGE if covers(list(damage.kept), damage.samples) else Remedy.RENDER
    return Remedy.FINISH if damage.results_lost else Remedy.NOTHING


def trouble(damage: Damage) -> Trouble:
    """The kind of what is wrong with the frame."""
    found = {
        Remedy.RENDER: Trouble.SAMPLES_LOST,
        Remedy.MERGE: Trouble.MERGED_LOST,
        Remedy.FINISH: Trouble.RESULT_LOST,
        Remedy.NOTHING: Trouble.SEGMENT_GONE if damage.lost else Trouble.RESULT_LOST,
    }
    return found[remedy(damage)]


def describe(damage: Damage, number: int) -> str:
    """The fact and the repair, for people."""
    lost = ["the merged frame"] if damage.merged_lost else []
    lost += [f"samples {_named([f'{part.offset}-{part.end}' for part in damage.lost])}"] if damage.lost else []
    lost += [_named(list(damage.results_lost))] if damage.results_lost else []
    return f"frame {number}: the store lacks or damaged {' and '.join(lost)}: {_REPAIRS[remedy(damage)]}"


def reopened(frame: State, job: State) -> tuple[State, ...]:
    """States that a frame passes on its way back to work; none when it is open, or waits for a retry."""
    if frame is not State.COMPLETED:
        return ()
    return (State.CREATED, State.CANCELED) if job is State.CANCELED else (State.CREATED, State.QUEUED, State.ACTIVE)


def _named(items: list[str]) -> str:
    return ", ".join(items[:NAMED]) + (", ..." if len(items) > NAMED else "")
