"""Runs of the farm under faults: jobs are submitted, faults come as planned, what is left is judged."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blendnet.agent.blenders import Build
from blendnet.cli.scene import inspect
from blendnet.cli.submission import Choices, Parcel
from blendnet.errors import BlendNetError
from blendnet.models import State
from tests.chaos.farm import ChaosFarm
from tests.chaos.faults import KINDS, Fault, NothingToHit, possible
from tests.chaos.judge import Judge
from tests.chaos.records import Attempt
from tests.chaos.schedule import Planned, plan

POLL_S = 0.1
FAULTS_FOR_S = 150.0
"""No new faults in a batch that takes longer: it has to end some day."""
PATIENCE_S = 400.0
"""A batch that is not done so long after its last fault never will be."""
SAMPLES = 320
CHUNK_SAMPLES = 160
FRAMES = ("1-3", "4-6")
"""Of the two jobs of a batch; the second one comes later and is more urgent."""
FRAME_COUNT = 6


@dataclass
class Injected:
    """A fault that happened."""

    at_s: float
    """Seconds since the begin of the batch."""
    kind: str
    what: str
    lasted_s: float | None = None
    noticed_s: float | None = None
    """Until the Manager had taken away every lease that was hit: what follows is waiting for an agent."""
    recovery_s: float | None = None
    """Until the work that was hit went on, or the service answered again; None: nobody was hit, or it never did."""


@dataclass
class Batch:
    """What came of one batch."""

    seed: str
    seconds: float = 0.0
    frames: int = FRAME_COUNT
    needed: int = FRAME_COUNT * SAMPLES
    rendered: int = 0
    worst: float = 0.0
    strangers: int = 0
    faults: list[Injected] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    @property
    def waste(self) -> float:
        """Share of samples that were rendered beyond what was needed."""
        return self.rendered / self.needed - 1


@dataclass
class _Open:
    """A fault whose consequences are watched."""

    record: Injected
    fault: Fault
    begun_at: float
    undo_at: float | None
    hit: dict[str, Attempt]
    struck: bool = True
    recovered: bool = False


class Trial:
    """Batches on one farm."""

    def __init__(
        self, farm: ChaosFarm, scene: Path, build: Build, *, rate_s: float, wanted: Sequence[str] = (),
        combine: bool = True, say: Callable[[str], None] = lambda line: None,
    ) -> None:  # fmt: skip
        """`wanted`: words of kinds of faults, none: all. `say` gets a line for everything that happens."""
        self.farm = farm
        self.rate_s = rate_s
        self.combine = combine
        self.kinds, self.left_out = possible(farm, wanted)
        self._say = say
        self._inspection = inspect(scene, build)
        self._parcel = Parcel(self._inspection)
        self._parcel.hash(lambda count: None)
        with farm.client() as client:
            self._parcel.upload(client, lambda count: None)
        self._judge = Judge(farm.folder.root, {})
        self._open: list[_Open] = []

    def prepare(self, folder: Path) -> None:
        """Render the frames once without faults: what later ones are compared with."""
        job = self._submit("1-6", "reference", 50)
        self._until(lambda: self._judge.records.unfinished() == 0, "the run without faults", PATIENCE_S)
        folder.mkdir()
        for number, merged in self._judge.merged(job).items():
            shutil.copy(merged, folder / f"{number}.exr")
        self._judge.reference = {int(path.stem): path for path in folder.iterdir()}
        if findings := self._judge.findings([job]):
            raise AssertionError(f"the run without faults is not right: {findings}")
        self._remove([job])

    def batch(self, seed: str) -> Batch:
        """One batch of frames under faults, judged."""
        batch, rendered = Batch(seed), self.farm.samples_rendered()
        started = time.monotonic()
        jobs = [self._submit(FRAMES[0], f"{seed} calm", 40), self._submit(FRAMES[1], f"{seed} urgent", 60)]
        planned = plan(seed, self.kinds, rate_s=self.rate_s, lease_s=self.farm.lease_s, combine=self.combine)
        try:
            self._suffer(batch, planned, started)
            batch.rendered = self.farm.samples_rendered() - rendered
            batch.findings += self._judge.findings(jobs)
            batch.strangers = self._judge.strangers()
            if not batch.findings:
                self._remove(jobs)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            batch.findings.append(f"{type(error).__name__}: {error}")
        batch.seconds = time.monotonic() - started
        batch.worst = self._judge.worst
        return batch

    def _suffer(self, batch: Batch, planned: Iterable[Planned], started: float) -> None:
        """Let faults happen until the jobs are done; afterwards all faults are undone."""
        coming = iter(planned)
        following = next(coming, None)
        calm_since = None
        while True:
            now = time.monotonic()
            self.farm.tend()
            attempts = self._judge.records.attempts()
            self._watch(attempts, now)
            if self._judge.records.unfinished() == 0:
                break
            while following and now - started >= following.at_s and following.at_s < FAULTS_FOR_S:
                self._inject(batch, following, attempts, now - started)
                following = next(coming, None)
            if not self._open and (following is None or following.at_s >= FAULTS_FOR_S):
                calm_since = calm_since or now
                if now - calm_since > PATIENCE_S:
                    raise AssertionError(f"not completed {PATIENCE_S:.0f} s after the last fault")
            time.sleep(POLL_S)
        self._heal()

    def _inject(self, batch: Batch, planned: Planned, attempts: dict[str, Attempt], at_s: float) -> None:
        fault = KINDS[planned.kind](self.farm, planned.pick)
        holders = {a.agent for a in attempts.values() if a.state == "active" and a.agent}
        try:
            fault.do(sorted(holders))
        except NothingToHit:
            return
        record = Injected(round(at_s, 2), fault.kind, fault.what)
        batch.faults.append(record)
        self._say(f"{at_s:6.1f} s  {fault.kind}: {fault.what}")
        now = time.monotonic()
        undo_at = now + planned.hold_s if fault.lasts else None
        self._open.append(_Open(record, fault, now, undo_at, _hit(fault, attempts), struck=fault.struck()))

    def _watch(self, attempts: dict[str, Attempt], now: float) -> None:
        """Undo what has lasted long enough; note what has recovered; forget what is over."""
        for one in self._open:
            if one.undo_at is not None and now >= one.undo_at:
                self._undo(one, now)
            if not one.struck:
                one.struck, one.begun_at, one.hit = one.fault.struck(), now, _hit(one.fault, attempts)
                if not one.struck:
                    continue
            if one.record.noticed_s is None and one.hit and self._noticed(one, attempts):
                one.record.noticed_s = now - one.begun_at
            if not one.recovered and self._recovered(one, attempts):
                one.recovered = True
                one.record.recovery_s = now - one.begun_at if one.fault.measured else None
        self._open = [one for one in self._open if one.undo_at is not None or not self._over(one, now)]

    def _noticed(self, one: _Open, attempts: dict[str, Attempt]) -> bool:
        """True when none of the attempts that were hit goes on."""
        return all(
            key not in attempts or attempts[key].token > hit.token or attempts[key].state != "active"
            for key, hit in one.hit.items()
        )

    def _recovered(self, one: _Open, attempts: dict[str, Attempt]) -> bool:
        if one.fault.agents:
            return bool(one.hit) and all(attempt.went_on(attempts.get(key)) for key, attempt in one.hit.items())
        return one.undo_at is None and one.fault.answers()

    def _over(self, one: _Open, now: float) -> bool:
        nobody_hit = bool(one.fault.agents) and not one.hit
        return one.recovered or nobody_hit or now - one.begun_at > PATIENCE_S

    def _undo(self, one: _Open, now: float) -> None:
        try:
            one.fault.undo()
        except (BlendNetError, AssertionError):
            return  # The Manager is down: tried again.
        one.undo_at = None
        one.record.lasted_s = round(now - one.begun_at, 2)
        self._say(f"          over: {one.record.kind}")

    def _heal(self) -> None:
        """Undo everything that still lasts, and wait for everything to run."""
        for one in self._open:
            one.undo_at = 0.0 if one.undo_at is not None else None
        self._until(self._healed, "everything runs again", 90)

    def _healed(self) -> bool:
        self._watch({}, time.monotonic())
        waiting = [one for one in self._open if one.undo_at is not None or not one.fault.answers()]
        trees = [kept.tree() for kept in self.farm.agents.values()]
        return not waiting and all(trees) and self.farm.redis_answers() and self._manager_answers()

    def _manager_answers(self) -> bool:
        try:
            with self.farm.client() as client:
                return client.healthy()
        except (BlendNetError, AssertionError):
            return False

    def _submit(self, frames: str, name: str, priority: int) -> str:
        choices = Choices(
            frames=frames, samples=SAMPLES, chunk_samples=CHUNK_SAMPLES, strategy="split", name=name, priority=priority
        )
        with self.farm.client() as client:
            return self._parcel.send(client, self._inspection, choices).id

    def _remove(self, jobs: Iterable[str]) -> None:
        """Forget jobs; the scene's files stay, for the next one is submitted with them."""
        with self.farm.client() as client:
            for job in jobs:
                client.remove(job)
            self._parcel.upload(client, lambda count: None)

    def _until(self, condition: Callable[[], Any], what: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {timeout_s:.0f} s: {what}")
            self.farm.tend()
            time.sleep(POLL_S)


def _hit(fault: Fault, attempts: dict[str, Attempt]) -> dict[str, Attempt]:
    """The attempts that suffer from a fault now."""
    return {key: a for key, a in attempts.items() if a.state == "active" and a.agent in fault.agents}


def seeds(first: str) -> Iterable[str]:
    """Seeds of batches, from that of the whole run."""
    return (f"{first}.{number}" for number in itertools.count())


def unfinished_jobs(farm: ChaosFarm) -> list[str]:
    """Jobs that are not done, by id."""
    with farm.client() as client:
        return [job.id for job in client.jobs() if job.state is not State.COMPLETED]
