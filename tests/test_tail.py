"""Who gets how much of a running chunk, as tables and properties; then the whole of a frame played in seconds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blendnet.models import SampleRange
from blendnet.tail import Cut, Hand, Holder, cuts, divided, portions
from tests.tail_player import Renderer, play

WORTH_S = 2.0


def _holder(chunk: str = "c", **changes: object) -> Holder:
    values = {"token": 1, "frame": "f", "job": "j", "agent": f"owner of {chunk}", "end": 100, "left": 80}
    return Holder(chunk=chunk, **{**values, "sample_s": 1.0, **changes})  # type: ignore[arg-type]


def _hand(agent: str = "idle", **changes: float) -> Hand:
    return Hand(agent=agent, **{"sample_s": 1.0, **changes})


def _cuts(holders: list[Holder], *hands: Hand) -> list[tuple[str, int, tuple[int, ...]]]:
    return [(c.chunk, c.stop_at, c.parts) for c in cuts(holders, {"j": hands}, worth_s=WORTH_S)]


@pytest.mark.parametrize(
    ("holder", "hand", "expected"),
    [
        pytest.param({}, {}, 60, id="as fast as the owner: half of what is left"),
        pytest.param({"sample_s": 4.0}, {}, 36, id="four times as fast: four fifths"),
        pytest.param({}, {"sample_s": 4.0}, 84, id="four times as slow: a fifth"),
        pytest.param({}, {"setup_s": 20.0}, 70, id="the owner renders while the other one opens the scene"),
        pytest.param({}, {"free_in_s": 20.0}, 70, id="the owner renders while the other one is busy"),
        pytest.param({"left": 3}, {}, None, id="not worth it"),
        pytest.param({"left": 4}, {}, 98, id="just worth it"),
        pytest.param({}, {"setup_s": 30.0}, None, id="it would prepare for longer than it renders"),
        pytest.param({}, {"free_in_s": 90.0}, None, id="it would come too late"),
        pytest.param({"minimum": 41}, {}, None, id="too few samples for a chunk"),
        pytest.param({"divisible": False}, {}, None, id="a chunk in one piece"),
        pytest.param({"refused_by": frozenset({"idle"})}, {}, None, id="it cannot render this"),
        pytest.param({"agent": "idle"}, {}, None, id="the owner is no help to itself"),
        pytest.param({"left": 0}, {}, None, id="nothing is left"),
    ],
)
def test_chunk_ends_earlier_so_that_both_end_together(
    holder: dict[str, object], hand: dict[str, float], expected: int | None
) -> None:
    found = _cuts([_holder(**holder)], _hand(**hand))
    assert found == ([] if expected is None else [("c", expected, (100 - expected,))])


def test_cut_says_what_it_was_planned_for() -> None:
    assert cuts([_holder(token=7)], {"j": [_hand()]}, worth_s=WORTH_S) == [
        Cut(chunk="c", token=7, end=100, stop_at=60, parts=(40,))
    ]


def test_chunk_is_shared_by_as_many_as_are_worth_it() -> None:
    hands = [_hand(f"idle{i}", sample_s=0.01) for i in range(30)]
    [(_, stop_at, parts)] = _cuts([_holder(sample_s=0.01, end=9000, left=8000)], *hands)
    assert parts == (1334, 1333, 1333, 1334, 1333)
    assert stop_at == 9000 - sum(parts)


def test_chunk_that_ends_last_is_helped_first() -> None:
    holders = [_holder("slow", left=90), _holder("fast", frame="g", left=60)]
    assert [found[0] for found in _cuts(holders, _hand("a"))] == ["slow"]
    assert [found[0] for found in _cuts(holders, _hand("a"), _hand("b"))] == ["slow", "fast"]


def test_frame_is_left_alone_when_its_last_chunk_cannot_be_helped() -> None:
    stuck = _holder("stuck", divisible=False)
    assert _cuts([stuck, _holder("other", left=40)], _hand()) == []
    assert [found[0] for found in _cuts([stuck, _holder("other", left=40, frame="g")], _hand())] == ["other"]


def test_chunk_of_another_job_is_not_offered_to() -> None:
    assert cuts([_holder(job="k")], {"j": [_hand()]}, worth_s=WORTH_S) == []


HANDS = st.lists(
    st.builds(
        Hand,
        agent=st.integers(0, 9).map("agent{}".format),
        sample_s=st.floats(0.001, 100.0),
        free_in_s=st.floats(0.0, 20.0),
        setup_s=st.floats(0.0, 100.0),
    ),
    min_size=1,
    max_size=10,
    unique_by=lambda hand: hand.agent,
)
HOLDERS = st.lists(
    st.builds(
        Holder,
        chunk=st.integers(0, 99).map("c{}".format),
        token=st.just(1),
        frame=st.sampled_from(["f", "g"]),
        job=st.just("j"),
        agent=st.sampled_from(["agent0", "agent1", "agent20"]),
        end=st.just(5000),
        left=st.integers(0, 5000),
        sample_s=st.floats(0.001, 100.0),
        divisible=st.booleans(),
        minimum=st.integers(1, 20),
    ),
    max_size=6,
    unique_by=lambda holder: holder.chunk,
)


@given(holders=HOLDERS, hands=HANDS, worth_s=st.floats(0.5, 60.0))
def test_cuts_always_pay(holders: list[Holder], hands: list[Hand], worth_s: float) -> None:
    found = cuts(holders, {"j": hands}, worth_s=worth_s)
    by_chunk = {holder.chunk: holder for holder in holders}
    assert len({cut.chunk for cut in found}) == len(found)
    assert sum(len(cut.parts) for cut in found) <= len(hands)
    for cut in found:
        holder = by_chunk[cut.chunk]
        assert holder.divisible
        assert holder.end - holder.left <= cut.stop_at < holder.end
        assert sum(cut.parts) == holder.end - cut.stop_at
        assert min(cut.parts) >= holder.minimum
        before_s = holder.left * holder.sample_s
        assert (holder.left - sum(cut.parts)) * holder.sample_s <= before_s - worth_s + 1e-6


@given(samples=st.integers(1, 5000), hands=HANDS, minimum=st.integers(1, 20))
def test_chunk_that_nobody_works_on_is_divided_exactly(samples: int, hands: list[Hand], minimum: int) -> None:
    parts = divided(samples, hands, worth_s=WORTH_S, minimum=minimum)
    assert sum(parts) == samples
    assert len(parts) <= len(hands)
    assert len(parts) == 1 or min(parts) >= minimum


@given(
    whole=st.builds(SampleRange, st.integers(0, 1000), st.integers(1, 1000)),
    parts=st.lists(st.integers(1, 1000), min_size=1, max_size=20),
)
def test_portions_cover_the_whole_exactly(whole: SampleRange, parts: list[int]) -> None:
    found = portions(whole, parts)
    assert found[0].offset == whole.offset
    assert [r.offset for r in found[1:]] == [r.end for r in found[:-1]]
    assert found[-1].end == whole.end
    assert all(r.count > 0 for r in found)


@pytest.mark.parametrize("load_s", [0.0, 1.0, 8.0])
@pytest.mark.parametrize(("samples", "sample_s"), [(400, 0.1), (1000, 0.1), (4096, 0.02), (64, 5.0), (300, 1.0)])
def test_frame_with_one_agent_four_times_slower_is_done_almost_as_soon_as_can_be(
    samples: int, sample_s: float, load_s: float
) -> None:
    played = play(samples, [Renderer(sample_s, load_s), Renderer(4 * sample_s, load_s)], worth_s=WORTH_S)
    assert played.samples == samples
    assert played.ended_s <= 1.1 * played.ideal_s, played
    assert played.cuts <= 6


@pytest.mark.parametrize("slow", [1, 2, 10, 50])
@pytest.mark.parametrize("agents", [2, 5, 12])
def test_frame_ends_soon_whatever_the_agents_are_like(agents: int, slow: int) -> None:
    renderers = [Renderer(0.05 * (slow if i % 3 == 1 else 1), 2.0) for i in range(agents)]
    played = play(agents * 1000, renderers, worth_s=WORTH_S)
    assert played.samples == agents * 1000
    assert played.ended_s <= 1.15 * played.ideal_s, played
    assert played.cuts <= 4 * agents
