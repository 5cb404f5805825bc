"""On whose account machines that were asked for boot and idle. PURE: the clock is passed in.

A machine is on one account at a time: that of the job it was asked for, then of the one that it works for, or worked
for last. It pays as time passes, never afterwards: what a job has cost only grows by what its machines do now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from blendnet.manager.days import by_day
from blendnet.manager.lately import KEPT_S, Lately

BOOT, IDLE = "boot", "idle"
Key = tuple[int, str, str, str]
"""Instance, job, day, BOOT or IDLE."""

CLOSED_KEPT = 1000
"""Accounts of machines that have ended, the newest: a bound of memory, far above what a list of a cloud leaves out."""


@dataclass
class _Account:
    job: str
    """'': nobody's."""
    upto: float
    """Up to here it is counted."""
    idle_left_s: float
    lately: Lately[tuple[str, str]]
    """Job, BOOT or IDLE: what was counted, in case that its end turns out to have been before."""


class Waits:
    """Seconds of booting and idling that jobs pay for. Not thread-safe: WorkBook has the lock."""

    def __init__(self, idle_s: float, told_s: float = KEPT_S) -> None:
        """`idle_s`: so long after its last work a machine idles on the account of that job, its end included.

        `told_s`: a cloud may tell so much later that a machine has ended.
        """
        self._idle_s = idle_s
        self._told_s = told_s
        self._accounts: dict[int, _Account] = {}
        self._closed: dict[int, _Account] = {}
        """Of machines that have ended: one that its cloud's list had only left out goes on where it was."""
        self.counted: Counter[Key] = Counter()
        """Not in the ledger yet. Less than nothing: to be taken off what is there."""

    def job_of(self, instance: int) -> str | None:
        """On whose account a machine is, '' for nobody's; None: it was not counted yet."""
        account = self._accounts.get(instance)
        return None if account is None else account.job

    def on_account(self, job: str) -> list[int]:
        """The machines of a job."""
        return [instance for instance, account in self._accounts.items() if account.job == job]

    def paying(self) -> set[str]:
        """Jobs that have machines."""
        return {account.job for account in self._accounts.values()} - {""}

    def drop(self, instances: Collection[int]) -> None:
        """They are on nobody's account until they work again."""
        for instance in instances:
            if instance in self._accounts:
                self._accounts[instance].job = ""

    def works(self, instance: int, job: str) -> None:
        """A machine begins, or goes on, to work for a job."""
        account = self._accounts.get(instance)
        if account is not None:
            account.job, account.idle_left_s = job, self._idle_s

    def count(self, instance: int, asked_by: str, since: float, now: float, *, joined: bool, busy_s: float) -> None:
        """Count up to now; `busy_s`: of the time since the last count the machine worked so long.

        `asked_by`: the job that it was asked for; `since`: its launch, or when this Manager began.
        """
        account = self._accounts.get(instance) or self._closed.pop(instance, None)
        account = self._accounts[instance] = account or _Account(asked_by, since, self._idle_s, Lately(self._told_s))
        wait_s = now - account.upto - busy_s
        account.upto = max(now, account.upto)
        if wait_s <= 0 or not account.job:
            return
        paid_s = wait_s
        if joined:
            paid_s = min(wait_s, account.idle_left_s)
            account.idle_left_s -= paid_s
        kind = IDLE if joined else BOOT
        account.lately.note((account.job, kind), now - paid_s, now)
        for day, seconds in by_day(now - paid_s, now):
            self.counted[instance, account.job, day, kind] += seconds  # type: ignore[assignment]
        if account.idle_left_s <= 0:
            account.job = ""

    def ended(self, instance: int, at: float) -> None:
        """A machine had ended by then: nobody pays for what was counted after it."""
        account = self._accounts.pop(instance, None)
        if account is None:
            return
        for (job, kind), begin, end in account.lately.take_back(at):
            for day, seconds in by_day(begin, end):
                self.counted[instance, job, day, kind] -= seconds  # type: ignore[assignment]
        account.upto = min(at, account.upto)
        self._closed[instance] = account
        if len(self._closed) > CLOSED_KEPT:
            del self._closed[next(iter(self._closed))]

    def written(self, what: Counter[Key]) -> None:
        """That is in the ledger now."""
        self.counted.subtract(what)
        for key in [key for key, seconds in self.counted.items() if not seconds]:
            del self.counted[key]
