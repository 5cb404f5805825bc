"""What running work still costs until it is done, or until it could stop. PURE."""

from __future__ import annotations

from blendnet.manager.caps import Piece
from blendnet.manager.ledger import ChunkRow, JobRow
from blendnet.manager.tail_book import Pace
from blendnet.provision.bill import HOUR_S
from blendnet.settings import Settings

LATE_S = 5.0
"""The Manager looks every second; this much later at the most, as when its machine is busy."""
STORE_S = 3.0
"""An agent that stops stores what it has rendered."""
LONGEST_BEAT_S = 3.0
BEATS_PER_LEASE = 3
"""How often agents ask (agent/lease.py)."""
FINISH_S = 10.0
"""Compositing a frame, while nobody knows."""


def stop_s(settings: Settings, job: JobRow, sample_s: float | None) -> float | None:
    """Seconds until an agent that renders has stopped when it is told to; None: its call cannot be divided."""
    return None if job.one_call else call_stop_s(settings, sample_s)


def call_stop_s(settings: Settings, sample_s: float | None) -> float:
    """Seconds until an agent has stopped that renders in calls which can be divided."""
    # A call is aimed at sub_pass_s, and stretched where handling its files takes long.
    call_s = max(2 * settings.sub_pass_s, sample_s or 0.0)
    return min(settings.lease_s / BEATS_PER_LEASE, LONGEST_BEAT_S) + call_s + STORE_S


def begin_s(settings: Settings, job: JobRow, chunk: ChunkRow, sample_s: float | None) -> float:
    """Seconds that an agent is bound for at least by beginning a chunk."""
    load_s = job.mean_load_s or 0.0
    rest_s = None if sample_s is None else (chunk.count - chunk.done) * sample_s
    stopping_s = stop_s(settings, job, sample_s)
    known = [seconds for seconds in (rest_s, stopping_s) if seconds is not None]
    return load_s + min(known, default=0.0)


def piece_of(
    settings: Settings,
    job: JobRow,
    chunk: ChunkRow,
    pace: Pace | None,
    *,
    usual_s: float | None,
    usd_per_hour: float,
    now: float,
    stopping_for_s: float = 0.0,
) -> Piece:
    """A chunk that is being rendered. `usual_s`: seconds per sample where its agent has measured none."""
    own = pace if pace is not None and pace.chunk == chunk.id else None
    sample_s = own.sample_s if own is not None else usual_s
    load_s = job.mean_load_s or 0.0
    rest_s = own.left_s(now) if own is not None else None
    if rest_s is None and sample_s is not None:
        rest_s = load_s + (chunk.count - chunk.rendered) * sample_s
    stopping_s = stop_s(settings, job, sample_s)
    if stopping_s is not None:
        stopping_s = max(0.0, stopping_s + (0.0 if own is not None else load_s) - stopping_for_s)
    return Piece(
        key=attempt_key(chunk.id, chunk.token),
        usd_per_s=usd_per_hour / HOUR_S,
        rest_s=rest_s,
        stop_s=stopping_s,
        again_s=load_s,
        sunk_s=(chunk.rendered - chunk.done) * (sample_s or 0.0),
    )


def attempt_key(id_: str, token: int) -> str:
    """One name for an attempt."""
    return f"{id_}#{token}"


def left_usd(job: JobRow, sample_s: float | None, usd_per_hour: float) -> float | None:
    """About what the samples that are missing will cost; None while nothing is measured."""
    if sample_s is None:
        return None
    loads_s = (job.mean_load_s or 0.0) if not job.loads else 0.0
    return ((job.samples_total - job.samples_done) * sample_s + loads_s) * usd_per_hour / HOUR_S
