"""What the reconciler and `blendnet doctor` look at, and what they make of it: leases, agents, messages."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from blendnet.manager.agents import SILENCE_LEASES
from blendnet.manager.chunks import put_back
from blendnet.manager.findings import Finding, Trouble
from blendnet.manager.ledger import AgentRow, ChunkRow, FrameRow, JobRow
from blendnet.manager.schedule import ChunkMessage, Schedule, Waiting, lapsed_videos

PAUSE_PATIENCE_S = 120.0
"""An agent that holds a chunk of a paused job and renders nothing for so long loses it."""

_NOT_STARTED = {
    "merge": (Trouble.MERGE_NOT_STARTED, "nobody merges its samples, which are all there"),
    "finish": (Trouble.FINISH_NOT_STARTED, "it is merged, and nobody finishes it"),
    "encode": (Trouble.VIDEO_NOT_STARTED, "its frames are finished, and nobody makes the video"),
}


@dataclass(frozen=True, kw_only=True)
class Observed:
    """The farm at one moment, as far as something can be lost or stuck."""

    silent: Sequence[AgentRow] = ()
    """Agents that have not reported for long."""
    chunks: Sequence[ChunkRow] = ()
    frames: Sequence[FrameRow] = ()
    videos: Sequence[JobRow] = ()
    """Chunks, frames and jobs whose lease has run out."""
    stuck: Sequence[ChunkRow] = ()
    """Chunks of paused jobs that an agent holds without getting on."""
    waiting: Sequence[Waiting] = ()
    """What should be in a queue and was not looked for lately."""
    queued: Collection[str] = ()
    """Ids of all messages in the queues."""


def lease_findings(seen: Observed) -> list[Finding]:
    """Agents and leases that are not what they should be. PURE."""
    found = [
        Finding(Trouble.AGENT_SILENT, agent.name, f"agent {agent.name} is silent: it counts as lost")
        for agent in seen.silent
    ]
    held = [(chunk.id, chunk.job_id, chunk.agent) for chunk in seen.chunks]
    held += [(frame.id, frame.job_id, frame.agent) for frame in seen.frames]
    held += [(job.id, job.id, job.agent) for job in seen.videos]
    for subject, job, agent in held:
        text = f"the lease of {agent} on {subject} has run out: the work goes to another"
        found.append(Finding(Trouble.LEASE_LAPSED, subject, text, job=job))
    for chunk in seen.stuck:
        text = f"agent {chunk.agent} holds {chunk.id} of a paused job and gets nowhere: it loses the lease"
        found.append(Finding(Trouble.PAUSE_IGNORED, chunk.id, text, job=chunk.job_id))
    return found


def message_findings(seen: Observed) -> list[Finding]:
    """Messages that are in no queue. PURE."""
    return [_lost(item) for item in seen.waiting if task_id(item) not in seen.queued]


def task_id(item: Waiting) -> str:
    """Under which id a message is published, always. PURE."""
    return item.id if isinstance(item, ChunkMessage) else f"{item.id}.{item.kind}"


@dataclass
class PauseWatch:
    """Remembers how far chunks of paused jobs were, and since when they are no further."""

    seen: dict[tuple[str, int], tuple[int, float]] = field(default_factory=dict)
    """Chunk and attempt -> samples rendered, and when they were first so many."""

    def stuck(self, held: Iterable[ChunkRow], now: float) -> list[ChunkRow]:
        """Those of the chunks, which agents hold although their job is paused, that got no further for too long."""
        current = {(chunk.id, chunk.token): chunk for chunk in held}
        before, self.seen = self.seen, {}
        for key, chunk in current.items():
            rendered, since = before.get(key, (-1, now))
            self.seen[key] = (rendered, since) if rendered == chunk.rendered else (chunk.rendered, now)
        return [chunk for key, chunk in current.items() if now - self.seen[key][1] >= PAUSE_PATIENCE_S]


@dataclass
class MissingWatch:
    """Remembers since when messages are in no queue."""

    patience_s: float
    """A chunk's message is lost only after so long: before, an agent may have taken it and be about to claim.
    Merges, finishes and videos do not wait: many are not published before somebody misses them."""
    seen: dict[Finding, float] = field(default_factory=dict)
    """What was missing at the last look, and since when."""

    def lasting(self, missing: Iterable[Finding], now: float) -> list[Finding]:
        """Those of the messages missing now that have been missing at every look for long enough."""
        self.seen = {finding: self.seen.get(finding, now) for finding in missing}
        return [finding for finding, since in self.seen.items() if now - since >= self._patience_s(finding)]

    def _patience_s(self, finding: Finding) -> float:
        return self.patience_s if finding.trouble is Trouble.MESSAGE_LOST else 0.0


class Lookout(Schedule):
    """The part of the Farm that looks for what is lost or stuck."""

    def observe(self, now: float, pauses: PauseWatch) -> Observed:
        """Leases and agents. One look, which changes nothing."""
        with self.ledger.read() as tx:
            return Observed(
                silent=tx.agents.unheard(now - SILENCE_LEASES * self.settings.lease_s),
                chunks=tx.chunks.lapsed(now),
                frames=tx.frames.lapsed(now),
                videos=lapsed_videos(tx, now),
                stuck=pauses.stuck(tx.chunks.held_although_paused(), now),
            )

    def take_back(self, chunks: Iterable[ChunkRow]) -> None:
        """End attempts for good that hold on to chunks of paused jobs."""
        with self.ledger.write() as tx:
            for seen in chunks:
                chunk = tx.chunks.get(seen.id)
                if chunk is not None and (chunk.state, chunk.token) == (seen.state, seen.token):
                    put_back(tx, chunk, lost=True, message="gave nothing back although the job was paused")

    def note_repairs(self, found: Sequence[Finding], now: float) -> None:
        """Write lost messages into the logs of their jobs, one line for each kind."""
        groups: dict[tuple[str, Trouble], list[Finding]] = {}
        for finding in found:
            if finding.job is not None:
                groups.setdefault((finding.job, finding.trouble), []).append(finding)
        with self.ledger.write() as tx:
            for (job, _), same in groups.items():
                if tx.jobs.get(job) is not None:
                    more = f" (and {len(same) - 1} more)" if len(same) > 1 else ""
                    self._log(tx, same[0].text + more, now=now, job=job)


def _lost(item: Waiting) -> Finding:
    job = item.id.partition(".")[0]
    if isinstance(item, ChunkMessage):
        text = f"chunk {item.id} is neither in a queue nor with an agent: it is published again"
        return Finding(Trouble.MESSAGE_LOST, item.id, text, job=job)
    trouble, what = _NOT_STARTED[item.kind]
    about = f"job {item.id}" if item.kind == "encode" else f"frame {item.id}"
    return Finding(trouble, item.id, f"{about}: {what}: its message is published again", job=job)
