"""Pure: the slow tail of a frame. How much of a running chunk goes to agents that have nothing to do. No clock."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from blendnet.models import SampleRange

MOST_HANDS = 64
"""Idle agents that are thought about at once; the others get their turn in the next round."""


@dataclass(frozen=True, kw_only=True)
class Hand:
    """An agent that could render some samples."""

    agent: str
    sample_s: float
    """Seconds per sample of this job on it."""
    free_in_s: float = 0.0
    """Until it has ended what it does now."""
    setup_s: float = 0.0
    """What the chunk costs it beside the samples: the message, the claim, opening the scene."""

    @property
    def start_s(self) -> float:
        """Seconds until its first sample begins."""
        return self.free_in_s + self.setup_s


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A chunk that is being rendered, and by whom."""

    chunk: str
    token: int
    frame: str
    job: str
    agent: str
    end: int
    """Sample of the frame at which the chunk ends."""
    left: int
    """Samples that its agent has not rendered yet."""
    sample_s: float
    divisible: bool = True
    """False: it must be rendered in one piece, however long that takes."""
    minimum: int = 1
    """No part that is given away gets fewer samples."""
    refused_by: frozenset[str] = frozenset()
    """Agents that cannot render it."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """What the agent of a chunk is asked for."""

    chunk: str
    token: int
    end: int
    """Where the chunk ends until then."""
    stop_at: int
    """Where it should end."""
    parts: tuple[int, ...]
    """Samples for each of the agents that take the rest."""


@dataclass(frozen=True)
class _Deal:
    """Samples dealt out to hands; the first one is who has them all at first."""

    hands: tuple[Hand, ...]
    counts: tuple[int, ...]

    @property
    def ends_s(self) -> float:
        """Seconds until the last of them is done."""
        return max(hand.start_s + n * hand.sample_s for hand, n in zip(self.hands, self.counts, strict=True) if n)


def cuts(holders: Sequence[Holder], offers: Mapping[str, Sequence[Hand]], *, worth_s: float) -> list[Cut]:
    """Which chunks end earlier so that `offers` (job -> agents that can help, the readiest first) get the rest.

    Again and again the chunk that ends last gets a helper, as long as its frame is done `worth_s` seconds sooner by
    that and the helper renders for longer than it prepares.
    """
    deals = {h.chunk: _Deal((_owner(h),), (h.left,)) for h in holders if h.left > 0}
    open_holders = [h for h in holders if h.left > 0]
    used: set[str] = set()
    while open_holders:
        holder = max(open_holders, key=lambda h: deals[h.chunk].ends_s)
        better = _with_help(holder, deals[holder.chunk], offers.get(holder.job, ()), used, worth_s)
        if better is None:
            # Nothing makes this chunk end sooner, so nothing makes its frame.
            open_holders = [h for h in open_holders if h.frame != holder.frame]
        else:
            used.add(better.hands[-1].agent)
            deals[holder.chunk] = better
    return [_cut(h, deals[h.chunk]) for h in holders if h.left > 0 and len(deals[h.chunk].hands) > 1]


def divided(samples: int, hands: Sequence[Hand], *, worth_s: float, minimum: int = 1) -> list[int]:
    """Parts of `samples` that nobody works on, for idle `hands` (at least one): as many as make it `worth_s` faster."""
    deal = _Deal((hands[0],), (samples,))
    for hand in hands[1:]:
        better = _improved(deal, hand, worth_s=worth_s, minimum=minimum)
        if better is None or better.counts[0] < minimum:
            break
        deal = better
    return list(deal.counts)


def portions(whole: SampleRange, parts: Sequence[int]) -> list[SampleRange]:
    """`whole` in ranges as long as `parts` are in proportion; none is empty, so there may be fewer."""
    total, found, start, passed = sum(parts), [], whole.offset, 0
    for part in parts:
        passed += part
        end = whole.offset + round(whole.count * passed / total)
        if end > start:
            found.append(SampleRange(start, end - start))
        start = max(start, end)
    return found


def _owner(holder: Holder) -> Hand:
    return Hand(agent=holder.agent, sample_s=holder.sample_s)


def _with_help(holder: Holder, deal: _Deal, offers: Sequence[Hand], used: set[str], worth_s: float) -> _Deal | None:
    """The deal with one more hand, None when that does not pay."""
    if not holder.divisible:
        return None
    not_these = used | holder.refused_by | {holder.agent}
    hand = next((hand for hand in offers if hand.agent not in not_these), None)
    return None if hand is None else _improved(deal, hand, worth_s=worth_s, minimum=holder.minimum)


def _improved(deal: _Deal, hand: Hand, *, worth_s: float, minimum: int) -> _Deal | None:
    hands = (*deal.hands, hand)
    better = _Deal(hands, _dealt(sum(deal.counts), hands))
    pays = better.counts[-1] * hand.sample_s >= hand.setup_s and min(better.counts[1:]) >= minimum
    return better if pays and deal.ends_s - better.ends_s >= worth_s else None


def _dealt(samples: int, hands: Sequence[Hand]) -> tuple[int, ...]:
    """`samples` dealt out so that all hands end at the same time; nothing for one that would start after that."""
    level_s = _level_s(samples, hands)
    shares = [max(0.0, (level_s - hand.start_s) / hand.sample_s) for hand in hands]
    scale, bounds, passed = samples / sum(shares), [0], 0.0
    for share in shares:
        passed += share * scale
        bounds.append(round(passed))
    return tuple(b - a for a, b in itertools.pairwise(bounds))


def _level_s(samples: int, hands: Sequence[Hand]) -> float:
    """When all are done together, in seconds from now."""
    speed = begun = 0.0
    for hand in sorted(hands, key=lambda h: h.start_s):
        if speed and (samples + begun) / speed <= hand.start_s:
            break
        speed += 1 / hand.sample_s
        begun += hand.start_s / hand.sample_s
    return (samples + begun) / speed


def _cut(holder: Holder, deal: _Deal) -> Cut:
    given = deal.counts[1:]
    return Cut(
        chunk=holder.chunk, token=holder.token, end=holder.end, stop_at=holder.end - sum(given), parts=tuple(given)
    )
