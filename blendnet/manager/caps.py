"""When a job has to stop so that it never costs more than its cap. PURE.

Money is committed before it is spent: an agent that is told to stop goes on until its render call ends and its samples
are stored. So the rule looks ahead by what everything under way still costs until it could stop, and by the time that
may pass until it looks again. What nothing else stops in time is cut off.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

TOLD_AT = 0.8
"""Share of a cap at which people are told."""


@dataclass(frozen=True)
class Piece:
    """Something that an agent works on for the job."""

    key: str
    usd_per_s: float
    rest_s: float | None
    """Seconds until it is done; None: nobody knows."""
    stop_s: float | None
    """Seconds until its agent has stopped when told to, and lost nothing; None: it can only be finished or cut off."""
    again_s: float = 0.0
    """Seconds that a stop wastes: what has to be done once more when it goes on."""
    sunk_s: float = 0.0
    """Seconds that are lost when it is cut off."""
    agent: str = ""
    """Who works on it."""

    @property
    def least_s(self) -> float:
        """Seconds until it stops at the earliest without loss; 0 when nobody knows: then only looking again helps."""
        return min((s for s in (self.rest_s, self.stop_s) if s is not None), default=0.0)

    @property
    def pays(self) -> bool:
        """It is cheaper to finish it than to stop it and go on with it later."""
        if self.rest_s is None or self.stop_s is None:
            return False
        return self.rest_s <= self.stop_s + self.again_s

    @property
    def loss_s(self) -> float:
        """What finishing costs more than cutting off throws away: the higher, the less it is worth."""
        return math.inf if self.rest_s is None else self.rest_s - self.sunk_s


@dataclass(frozen=True)
class Verdict:
    """What a cap allows now."""

    room_usd: float
    """For more work to begin."""
    stop: bool
    """Everything has to stop."""
    finish: frozenset[str] = frozenset()
    """Pieces that go on nevertheless until they are done."""
    cut: frozenset[str] = frozenset()
    """Pieces that are cut off at once."""
    drop: bool = False
    """The job pays no longer for machines that only wait."""


def decide(
    cap_usd: float,
    spent_usd: float,
    pieces: Sequence[Piece],
    *,
    late_s: float,
    waiting_usd_per_s: float = 0.0,
    end_usd: float = 0.0,
) -> Verdict:
    """What to do so that never more than `cap_usd` is spent.

    `late_s`: longest time until the next decision. Never is held as long as decisions come in time and nothing begins
    but what `room_usd` has room for. `waiting_usd_per_s`: of machines that boot and idle on the job's account.
    `end_usd`: what all its machines cost from being told to end until they are gone. Money for that is kept back; no
    work is thrown away for it.
    """
    left = cap_usd - spent_usd
    committed = end_usd + sum(piece.usd_per_s * (piece.least_s + late_s) for piece in pieces)
    burn = waiting_usd_per_s + sum(piece.usd_per_s for piece in pieces)
    stop = left - committed <= burn * late_s
    kept = _worth_keeping(list(pieces), left, late_s)
    finish = _finished(kept, left - end_usd, late_s) if stop else frozenset()
    cut = frozenset(piece.key for piece in pieces) - frozenset(piece.key for piece in kept)
    drop = waiting_usd_per_s * late_s > left - _cost(kept, late_s)
    return Verdict(max(0.0, left - committed), stop, finish, cut, drop)


def _worth_keeping(pieces: list[Piece], left: float, late_s: float) -> list[Piece]:
    """What need not be cut off, the least worth given up first.

    A piece that cannot stop is given up as soon as the money does not suffice to finish it and all that is worth more;
    any other only when the next decision would come too late.
    """
    free = [piece for piece in pieces if not piece.usd_per_s]
    kept = sorted((piece for piece in pieces if piece.usd_per_s), key=lambda piece: piece.usd_per_s * piece.loss_s)
    while kept and _cost(kept, late_s) > left:
        kept.pop()
    for piece in [piece for piece in reversed(kept) if piece.stop_s is None and piece.least_s]:
        if _cost(kept, late_s) + sum(other.usd_per_s * other.least_s for other in kept) <= left:
            break
        kept.remove(piece)
    return free + kept


def _finished(kept: Sequence[Piece], left: float, late_s: float) -> frozenset[str]:
    """Those that are cheaper to finish than to stop, as far as the money goes, the cheapest first."""
    spare = left - sum(piece.usd_per_s * (piece.least_s + late_s) for piece in kept)
    finished = set()
    for piece in sorted((piece for piece in kept if piece.pays), key=lambda piece: piece.usd_per_s * piece.least_s):
        more = piece.usd_per_s * ((piece.rest_s or 0.0) - piece.least_s)
        if more <= spare:
            spare -= more
            finished.add(piece.key)
    return frozenset(finished)


def _cost(pieces: Sequence[Piece], seconds: float) -> float:
    return sum(piece.usd_per_s for piece in pieces) * seconds


def is_close(cap_usd: float, spent_usd: float) -> bool:
    """People should hear of it."""
    return cap_usd > 0 and spent_usd >= TOLD_AT * cap_usd
