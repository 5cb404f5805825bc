"""What the parts of the Farm share: ledger, store, settings, and the signal that there is something to hand out."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from blendnet.manager.egress import Passages
from blendnet.manager.gate import Gate
from blendnet.manager.instances import InstanceBook
from blendnet.manager.ledger import JobRow, Ledger, Transaction
from blendnet.manager.loss_book import LossBook
from blendnet.manager.tail_book import TailBook
from blendnet.manager.work_book import WorkBook
from blendnet.messages import LayerSamples, SceneFiles, tree_key
from blendnet.settings import Settings
from blendnet.storage.base import BlobStore

SCENES_KEPT = 64


class Changes:
    """A counter that can be waited for. Thread-safe."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._count = 0

    @property
    def count(self) -> int:
        """How many changes there were."""
        return self._count

    def note(self) -> None:
        """One more change."""
        with self._condition:
            self._count += 1
            self._condition.notify_all()

    def wait(self, beyond: int, timeout_s: float) -> bool:
        """Wait until the count is above `beyond`; False when it takes longer than `timeout_s`."""
        with self._condition:
            return self._condition.wait_for(lambda: self._count > beyond, timeout_s)


class FarmPart:
    """Base of the parts; holds no state of jobs: that is in the ledger."""

    def __init__(self, ledger: Ledger, store: BlobStore, settings: Settings) -> None:
        self.ledger = ledger
        self.store = store
        self.settings = settings
        self.changes = Changes()
        """Counts what gives dispatcher or reconciler something to do."""
        self.expected_agents = 0
        """Agents that are being started: frames are planned for them before they report."""
        self.ending = False
        """The farm is about to end: who sends a job now is not told that it is taken."""
        self.draining: frozenset[str] = frozenset()
        """Agents that get no more work, because their machines are about to end."""
        self.tails = TailBook()
        """How fast agents are, and which chunks are to end earlier."""
        self.losses = LossBook()
        """How often agents lose work: chunks are saved the more often for it."""
        self.work = WorkBook(settings.fleet_idle_s + settings.fleet_end_delay_s, settings.fleet_end_told_s)
        """Since when agents work for which job."""
        self.gate = Gate()
        """What caps allow to begin."""
        self.passages = Passages()
        """Files on their way to owners that cost something."""
        self.instances = InstanceBook(ledger, self.work)
        """The agents' machines on this machine; `of` another provider gives that one's book."""
        self._scenes: dict[str, SceneFiles] = {}
        self._told: set[str] = set()
        """What nobody but people can mend and was said already."""

    def is_full(self) -> bool:
        """True when the store has no room for the results of more work, or cannot take them now."""
        return bool(self.store.trouble()) or self.store.free_bytes() < self.settings.store_reserve_bytes

    def _slots(self, tx: Transaction, most: int | None = None) -> int:
        """Agent slots to plan for, at least 1; `most`: of a job that wants no more, None: all."""
        slots = max(tx.agents.count(), self.expected_agents, 1)
        return slots if most is None else min(slots, most)

    def _log(
        self,
        tx: Transaction,
        text: str,
        *,
        now: float,
        job: str,
        level: str = "info",
        frame: int | None = None,
        chunk: str | None = None,
        agent: str | None = None,
    ) -> None:
        """Append a line to a job's log."""
        keep = self.settings.max_events_per_job
        tx.events.add(text, time=now, keep=keep, level=level, job=job, frame=frame, chunk=chunk, agent=agent)

    def _log_warnings(self, tx: Transaction, warnings: Iterable[str], **about: Any) -> None:
        """Append a line of level warning for each; `about` as `_log` takes it."""
        for text in warnings:
            self._log(tx, text, level="warning", **about)

    def _scene(self, tx: Transaction, job: JobRow) -> SceneFiles:
        """All an agent needs to open the job's scene. A submitted job's files never change, so it is read once."""
        scene = self._scenes.get(job.id)
        if scene is None:
            if len(self._scenes) >= SCENES_KEPT:
                self._scenes.clear()
            scene = self._scenes[job.id] = SceneFiles(
                job=job.id,
                scene=job.scene,
                root=job.root,
                tree=tree_key(tx.jobs.files(job.id)),
                blender=job.blender,
                device=job.device,
                allow_scripts=job.allow_scripts,
                resolution_percentage=job.resolution_percentage,
                layers=[LayerSamples(name=name, samples=samples) for name, samples in job.layers],
            )
        return scene
