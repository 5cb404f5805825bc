"""What renders and probes tell of a scene: its pace and memory on each type of machine, kept for estimates."""

from __future__ import annotations

from typing import Any

from blendnet.manager.ledger import AgentRow, ChunkRow, FrameRow, JobRow, MeasureRow, Transaction
from blendnet.manager.ledger.measures import Measured
from blendnet.manager.part import FarmPart
from blendnet.messages import ChunkReport, FailureReport, FinishReport

MEMORY = "memory"
"""Kind of failure of which the peak says that the scene takes more than that."""


class MeasureBook(FarmPart):
    """The part of the Farm that writes down what is measured."""

    def _measure(self, tx: Transaction, job: JobRow, chunk: ChunkRow, report: ChunkReport, now: float) -> JobRow:
        """An attempt at a chunk has ended well."""
        row = _of_job(tx, self._row(tx, job, chunk.agent, now), job)
        # Agents that share a host are slower than one alone: what is kept is the pace of the machine.
        sharing = self._sharing(tx, chunk.agent)
        sums = {"samples": row.samples + report.samples, "render_s": row.render_s + report.render_s / sharing}
        sums |= {"load_s": row.load_s + report.load_s, "loads": row.loads + (report.load_s > 0)}
        calls = {}
        if row.probe and report.samples:
            number, told = tx.frames.need(chunk.frame_id).number, report.calls or [(report.samples, report.render_s)]
            each = [[number, n, s / sharing, 0.0 if i else report.load_s] for i, (n, s) in enumerate(told)]
            calls = {"calls": [*row.calls, *each]}
        tx.measures.update(row, measured_at=now, **sums, **calls, **_peak(row, report.peak_memory_bytes))
        return tx.jobs.update(
            job,
            render_s=job.render_s + report.render_s,
            render_samples=job.render_samples + report.samples,
            load_s=job.load_s + report.load_s,
            loads=job.loads + (report.load_s > 0),
        )

    def _measure_failure(
        self, tx: Transaction, job: JobRow, agent: str | None, report: FailureReport, now: float
    ) -> None:
        """An attempt has failed: for lack of memory, it says how much at least is needed."""
        if report.kind == MEMORY and report.peak_memory_bytes is not None:
            row = self._row(tx, job, agent, now)
            tx.measures.update(row, measured_at=now, **_peak(row, report.peak_memory_bytes))

    def _measure_finish(self, tx: Transaction, job: JobRow, frame: FrameRow, report: FinishReport, now: float) -> None:
        """A frame is finished. A newer job may have begun to measure meanwhile: the sums are its own."""
        if report.finish_s is not None:
            row = self._row(tx, job, frame.agent, now)
            sums = {"finish_s": row.finish_s + report.finish_s, "finishes": row.finishes + 1}
            values = (sums if row.job_id == job.id else {}) | _peak(row, report.peak_memory_bytes)
            tx.measures.update(row, measured_at=now, **values)

    def _row(self, tx: Transaction, job: JobRow, agent: str | None, now: float) -> MeasureRow:
        """What is known of the job's scene on the agent's type of machine, begun if need be."""
        what = Measured(
            tree=self._scene(tx, job).tree, blender=job.blender, device=job.device, width=job.width, height=job.height,
            machine=self._machine(tx, tx.agents.get(agent or "")), probe=job.probe,
        )  # fmt: skip
        row = tx.measures.of(what)
        if row is None:
            tx.measures.begin(what, scene=job.scene_path, job_id=job.id, now=now)
            row = tx.measures.of(what)
            assert row is not None
        return row

    def _machine(self, tx: Transaction, agent: AgentRow | None) -> str:
        """The type of an agent's machine, where a provider tells it, else its host."""
        if agent is None:
            return ""
        known = self.work.machine(agent.name)
        life = None if known is None else tx.instances.get(known.instance)
        return (life.machine if life is not None else "") or agent.host or agent.name

    def _sharing(self, tx: Transaction, name: str | None) -> int:
        """How many agents of this agent's host render now, itself included."""
        agent = tx.agents.get(name or "")
        if agent is None or not agent.host:
            return 1
        others = tx.agents.on_host(agent.host) - {agent.name}
        return 1 + sum(bool(tx.chunks.leased_by(other)) for other in others)


def _of_job(tx: Transaction, row: MeasureRow, job: JobRow) -> MeasureRow:
    """The row with the sums of this job alone, and the peak of all."""
    if row.job_id == job.id:
        return row
    empty: dict[str, Any] = dict.fromkeys(("samples", "loads", "finishes"), 0)
    empty |= dict.fromkeys(("render_s", "load_s", "finish_s"), 0.0)
    return tx.measures.update(row, job_id=job.id, scene=job.scene_path, calls=[], **empty)


def _peak(row: MeasureRow, peak_bytes: int | None) -> dict[str, int]:
    if peak_bytes is None or peak_bytes <= (row.peak_memory_bytes or 0):
        return {}
    return {"peak_memory_bytes": peak_bytes}
