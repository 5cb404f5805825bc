"""Cryptomatte sums against Cycles' own way with samples, played through one sample at a time."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blendnet.merge.cryptomatte import CryptomatteSums, Pair

RANKS = 4
IDS = [int(np.float32(x).view(np.uint32)) for x in (1.5, -2.25, 3e-20, 7e30)] + [0x7F800001, 0x00000001]
"""Ids whose float values differ wildly, a NaN and a subnormal among them: they must be compared as bits."""


class Pixel:
    """One pixel as Cycles fills it: a slot per id in order of arrival, the last slot takes what is left over."""

    def __init__(self) -> None:
        self.slots: list[list[int]] = []

    def hit(self, key: int) -> None:
        for slot in self.slots:
            if slot[0] == key:
                slot[1] += 1
                return
        if len(self.slots) < RANKS:
            self.slots.append([key, 1])
        else:
            self.slots[-1][1] += 1

    def ranks(self, samples: int, *, ranked: bool) -> list[tuple[int, float]]:
        slots = sorted(self.slots, key=lambda slot: -slot[1]) if ranked else self.slots
        return [(key, count / samples) for key, count in slots] + [(0, 0.0)] * (RANKS - len(slots))


def render(samples: list[list[int]], *, ranked: bool) -> list[Pair]:
    """Ranks of a one-row picture; `samples` holds for every pixel the ids hit, in order (0: nothing hit)."""
    rows = []
    for hits in samples:
        pixel = Pixel()
        for key in hits:
            if key:
                pixel.hit(key)
        rows.append(pixel.ranks(len(hits), ranked=ranked))
    return [
        (
            np.array([[row[rank][0] for row in rows]], np.uint32).view(np.float32),
            np.array([[row[rank][1] for row in rows]], np.float32),
        )
        for rank in range(RANKS)
    ]


def merge(pixels: list[list[int]], cuts: list[int], *, ranked: bool) -> list[Pair]:
    total = len(pixels[0])
    edges = sorted({0, total, *cuts})
    sums = CryptomatteSums(RANKS, (1, len(pixels)), ranked=ranked)
    for start, end in itertools.pairwise(edges):
        sums.add(render([hits[start:end] for hits in pixels], ranked=ranked), float(end - start))
    return sums.result(float(total))


def coverage(pairs: list[Pair], pixel: int) -> dict[int, float]:
    found = {int(ids.view(np.uint32)[0, pixel]): float(cover[0, pixel]) for ids, cover in pairs}
    return {key: share for key, share in found.items() if share}


PIXELS = st.integers(1, 24).flatmap(
    lambda n: st.tuples(
        st.lists(st.lists(st.sampled_from([0, *IDS[:RANKS]]), min_size=n, max_size=n), min_size=1, max_size=6),
        st.lists(st.integers(1, n), max_size=5),
    )
)


@settings(deadline=None)
@given(PIXELS, st.booleans())
def test_cryptomatte_sums_give_every_id_the_coverage_of_one_render(case, ranked) -> None:
    pixels, cuts = case
    whole, merged = render(pixels, ranked=ranked), merge(pixels, cuts, ranked=ranked)
    for pixel in range(len(pixels)):
        assert coverage(merged, pixel) == pytest.approx(coverage(whole, pixel), abs=1e-6)


@settings(deadline=None)
@given(PIXELS)
def test_cryptomatte_sums_keep_the_order_of_arrival_when_cycles_does(case) -> None:
    pixels, cuts = case
    whole, merged = render(pixels, ranked=False), merge(pixels, cuts, ranked=False)
    for (ids, cover), (keys, share) in zip(whole, merged, strict=True):
        assert np.array_equal(ids.view(np.uint32), keys.view(np.uint32))
        assert np.allclose(cover, share, atol=1e-6)


@settings(deadline=None)
@given(PIXELS)
def test_cryptomatte_sums_are_sorted_by_coverage_when_ranked(case) -> None:
    pixels, cuts = case
    covers = [share for _, share in merge(pixels, [*cuts, 1], ranked=True)]
    assert all((high >= low - 1e-6).all() for high, low in itertools.pairwise(covers))


def test_cryptomatte_sums_give_the_last_rank_what_no_rank_is_left_for() -> None:
    hits = [[IDS[0], IDS[1], IDS[2], IDS[3], IDS[4], IDS[5]]]
    assert coverage(merge(hits, [3], ranked=False), 0) == pytest.approx(
        {IDS[0]: 1 / 6, IDS[1]: 1 / 6, IDS[2]: 1 / 6, IDS[3]: 3 / 6}
    )


def test_cryptomatte_sums_weigh_every_pixel_by_its_own_samples() -> None:
    first, second = render([[IDS[0]], [IDS[0]]], ranked=True), render([[IDS[1]], [IDS[1]]], ranked=True)
    sums = CryptomatteSums(RANKS, (1, 2), ranked=True)
    weights = [np.array([[6, 2]], np.float32), np.array([[2, 2]], np.float32)]
    sums.add(first, weights[0])
    sums.add(second, weights[1])
    merged = sums.result(weights[0] + weights[1])
    assert coverage(merged, 0) == pytest.approx({IDS[0]: 0.75, IDS[1]: 0.25})
    assert coverage(merged, 1) == pytest.approx({IDS[0]: 0.5, IDS[1]: 0.5})
