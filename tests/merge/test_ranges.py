"""Sample ranges: the share of a view layer, and exact cover."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blendnet.errors import MergeError
from blendnet.merge.ranges import check_cover, layer_range
from blendnet.models import SampleRange

CUTS = st.integers(1, 500).flatmap(
    lambda total: st.tuples(st.just(total), st.sets(st.integers(1, max(total - 1, 1)), max_size=20))
)


def pieces(total: int, cuts: set[int]) -> list[SampleRange]:
    edges = sorted({0, total} | {cut for cut in cuts if cut < total})
    return [SampleRange(start, end - start) for start, end in itertools.pairwise(edges)]


@given(CUTS, st.randoms())
def test_check_cover_accepts_any_cut_of_the_frame_in_any_order(cut, random) -> None:
    total, cuts = cut
    ranges = pieces(total, cuts)
    random.shuffle(ranges)
    check_cover(ranges, total)


@given(CUTS, st.data())
def test_check_cover_refuses_when_a_piece_is_missing(cut, data) -> None:
    total, cuts = cut
    ranges = pieces(total, cuts)
    ranges.pop(data.draw(st.integers(0, len(ranges) - 1)))
    with pytest.raises(MergeError, match="missing"):
        check_cover(ranges, total)


@given(CUTS, st.data())
def test_check_cover_refuses_when_a_piece_is_there_twice(cut, data) -> None:
    total, cuts = cut
    ranges = pieces(total, cuts)
    ranges.append(data.draw(st.sampled_from(ranges)))
    with pytest.raises(MergeError, match="overlap"):
        check_cover(ranges, total)


@pytest.mark.parametrize(
    ("ranges", "total", "text"),
    [
        ([(0, 24), (30, 10)], 40, "samples 24 to 29 are missing: a gap before b"),
        ([(0, 24), (25, 15)], 40, "sample 24 is missing: a gap before b"),
        ([(0, 24), (20, 20)], 40, "samples 20 to 23 are there twice: a and b overlap"),
        ([(5, 19), (24, 16)], 40, "samples 0 to 4 are missing: a gap before a"),
        ([(0, 24), (24, 10)], 40, "samples 34 to 39 are missing: a gap before the end at 40"),
        ([(0, 24), (24, 20)], 40, "b goes on to sample 43, but the frame has only 40 samples"),
        ([(0, 0), (0, 40)], 40, "a holds no samples"),
        ([(-1, 41), (40, 1)], 40, "a holds no samples"),
    ],
    ids=["gap", "gap of one", "overlap", "no start", "no end", "too far", "empty", "negative"],
)
def test_check_cover_names_samples_and_files(ranges, total, text) -> None:
    with pytest.raises(MergeError, match=text):
        check_cover([SampleRange(*r) for r in ranges], total, ["a", "b"])


@given(CUTS, st.integers(1, 500))
def test_layer_range_cuts_the_layer_as_the_frame_is_cut(cut, layer_samples) -> None:
    total, cuts = cut
    shares = [layer_range(r.offset, r.count, total, layer_samples) for r in pieces(total, cuts)]
    check_cover([SampleRange(*share) for share in shares if share[1]], layer_samples)
    assert all(count >= 0 for _, count in shares)


def test_layer_range_is_the_frame_s_range_when_both_have_the_same_samples() -> None:
    assert layer_range(24, 16, 64, 64) == (24, 16)


def test_layer_range_is_empty_when_the_layer_has_too_few_samples() -> None:
    assert [layer_range(n, 1, 4, 2) for n in range(4)] == [(0, 0), (0, 1), (1, 0), (1, 1)]
