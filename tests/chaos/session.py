"""A whole run: farm, scene and reference made, batches until the time is over, everything removed and looked for."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from blendnet.agent.blenders import Build
from tests.chaos.farm import ChaosFarm, alive
from tests.chaos.trial import SAMPLES, Batch, Trial, seeds
from tests.end_to_end.farms import ALL_PASSES, prepare, processes_mentioning

SIZE = (64, 48)
GONE_WITHIN_S = 30.0
BATCH_LIKELY_S = 60.0
"""No batch begins when less time is left."""


@dataclass
class Session:
    """What was asked for, and what came of it."""

    build: Build
    source: Path | str
    """The .blend whose small copy is rendered; '': Blender's start-up scene."""
    seed: str
    rate_s: float
    wanted: Sequence[str] = ()
    combine: bool = True
    settings: dict[str, object] = field(default_factory=dict)
    say: Callable[[str], None] = lambda line: None
    after_batch: Callable[[list[Batch]], object] = lambda batches: None
    batches: list[Batch] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    left_behind: list[str] = field(default_factory=list)
    kept: Path | None = None
    """Logs and ledger of a run with findings."""

    def run(self, *, seconds: float) -> None:
        """Batches for about so long; a finding ends the run, and keeps its files."""
        deadline = time.monotonic() + seconds
        work = Path(tempfile.mkdtemp(prefix="chaos-", dir="/tmp"))  # Short: sockets have short names only.
        scene = prepare(self.build, self.source, work / "scene.blend", size=SIZE, samples=SAMPLES,
                        frames=(1, 6, 1), passes=ALL_PASSES)  # fmt: skip
        farm = ChaosFarm(work, settings=self.settings)
        try:
            with farm:
                self._batches(farm, scene, deadline)
            self.left_behind = left_behind(farm)
        finally:
            if self.findings:
                self._keep(farm)
            farm.remove_disks()
            shutil.rmtree(work, ignore_errors=True)

    @property
    def findings(self) -> list[str]:
        """Everything that is wrong."""
        return [f"{b.seed}: {finding}" for b in self.batches for finding in b.findings] + self.left_behind

    def _batches(self, farm: ChaosFarm, scene: Path, deadline: float) -> None:
        trial = Trial(farm, scene, self.build, rate_s=self.rate_s, wanted=self.wanted, combine=self.combine,
                      say=self.say)  # fmt: skip
        self.left_out = trial.left_out
        trial.prepare(farm.work / "reference")
        for seed in seeds(self.seed):
            self.say(f"batch {seed}")
            batch = trial.batch(seed)
            self.batches.append(batch)
            self.after_batch(self.batches)
            self.say(f"batch {seed}: {batch.seconds:.0f} s, {len(batch.faults)} faults, waste {batch.waste:.1%},"
                     f" findings {batch.findings}")  # fmt: skip
            if batch.findings or time.monotonic() > deadline - BATCH_LIKELY_S:
                return

    def _keep(self, farm: ChaosFarm) -> None:
        self.kept = Path(tempfile.mkdtemp(prefix="chaos-kept-"))
        for folder in (farm.work / "logs", farm.folder.root):
            shutil.copytree(folder, self.kept, ignore=shutil.ignore_patterns("store"), dirs_exist_ok=True)
        for name in farm.names:
            for log in (farm.work / name).rglob("blender.log"):
                shutil.copy(log, self.kept / f"{name}-blender.log")


def left_behind(farm: ChaosFarm) -> list[str]:
    """What is still there of a farm that has ended and should not be: processes, sockets, temporary files."""
    deadline = time.monotonic() + GONE_WITHIN_S
    while (there := list(alive(processes_mentioning(farm.work)))) and time.monotonic() < deadline:
        time.sleep(0.1)
    found = [f"process {process.pid} is left: {' '.join(process.cmdline())[:200]}" for process in there]
    found += [f"{name} had to be killed at the end" for name in farm.unclean]
    found += [f"folder {runtime} is left" for runtime in farm.runtimes if runtime.exists()]
    # Not the agents' own folders: an agent empties its own before its next task.
    found += [f"{path} is left" for path in (farm.work / "tmp").iterdir()]
    if farm.folder.farm_file.exists():
        found.append("farm.json is left")
    for process in there:
        process.kill()
    return found
