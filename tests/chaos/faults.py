"""Every kind of fault there is, by name."""

from __future__ import annotations

from collections.abc import Sequence

from tests.chaos.farm import ChaosFarm
from tests.chaos.fault import Fault, NothingToHit
from tests.chaos.job_faults import (
    JobCanceled,
    JobPaused,
    JobReordered,
)
from tests.chaos.memory_faults import (
    BlenderStarved,
    ChildStarved,
    MergeRefused,
    MergeStarved,
)
from tests.chaos.process_faults import (
    AgentKilled,
    AgentToldToEnd,
    BlenderCrashed,
    BlenderFrozen,
    BlenderKilled,
    ChildFrozen,
    ChildKilled,
    ControlFrozen,
    ControlKilled,
    MachineFrozen,
    MachineLost,
    ManagerFrozen,
    ManagerKilled,
    ManagerToldToEnd,
    RedisEmptied,
    RedisFrozen,
    RedisKilled,
    RedisLost,
    WorkerFrozen,
)
from tests.chaos.world_faults import (
    AgentDiskFull,
    ClockWrong,
    DiskFull,
    ManagerLineCut,
    ManagerLineHeld,
    NoticeGiven,
    RedisLineCut,
    RedisLineHeld,
    SegmentDamaged,
)

__all__ = ["KINDS", "Fault", "NothingToHit", "possible"]


KINDS: dict[str, type[Fault]] = {
    fault.kind: fault
    for fault in (
        AgentKilled, AgentToldToEnd, MachineLost, MachineFrozen, WorkerFrozen, ChildKilled, ChildFrozen,
        BlenderKilled, BlenderCrashed, BlenderFrozen, ControlKilled, ControlFrozen,
        RedisKilled, RedisFrozen, RedisLost, RedisEmptied, ManagerKilled, ManagerToldToEnd, ManagerFrozen,
        ManagerLineCut, ManagerLineHeld, RedisLineCut, RedisLineHeld, DiskFull, AgentDiskFull, ClockWrong,
        BlenderStarved, ChildStarved, MergeStarved, MergeRefused,
        NoticeGiven, SegmentDamaged, JobPaused, JobCanceled, JobReordered,
    )
}  # fmt: skip


def possible(farm: ChaosFarm, wanted: Sequence[str] = ()) -> tuple[list[str], dict[str, str]]:
    """Kinds that can happen on this machine, and the others with the reason. `wanted`: words of kinds; none: all."""
    chosen = [kind for kind in KINDS if not wanted or any(word in kind for word in wanted)]
    reasons = {kind: reason for kind in chosen if (reason := KINDS[kind].why_not(farm))}
    return [kind for kind in chosen if kind not in reasons], reasons
