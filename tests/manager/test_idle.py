"""When an idle Manager ends: the decision, and the watch that carries it out."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blendnet.errors import FarmError
from blendnet.manager.idle import DISMISS_LIMIT_S, IdleWatch, Patience, Sight, Standing, Step, next_step

PATIENCE = Patience(idle_s=1800, attended_s=300)
NOTHING = Sight()


def after(idle_s: float, sight: Sight = NOTHING, patience: Patience = PATIENCE) -> Standing:
    return next_step(Standing(idle_since=1000.0), sight, 1000.0 + idle_s, patience)


def test_a_manager_without_work_ends_in_time_and_says_why() -> None:
    assert after(1799).step is Step.STAY
    ended = after(1800)
    assert ended.step is Step.END
    assert "nothing to do for 30 min" in ended.why
    assert "BLENDNET_MANAGER_IDLE_S is 1800 s" in ended.why


@pytest.mark.parametrize(
    ("idle_s", "text"),
    [(0.3, "0.3 s"), (12.0, "12 s"), (59.0, "59 s"), (90.0, "1.5 min"), (1800.0, "30 min"), (600_000.0, "10000 min")],
)
def test_a_while_is_never_nothing(idle_s: float, text: str) -> None:
    ended = after(idle_s, patience=Patience(idle_s=idle_s / 2, attended_s=0))
    assert (ended.step, f"nothing to do for {text}, " in ended.why) == (Step.END, True)


@pytest.mark.parametrize("idle_s", [0.0, 1e9])
def test_zero_means_never(idle_s: float) -> None:
    assert after(idle_s, patience=Patience(idle_s=0, attended_s=0)).step is Step.STAY


def test_work_starts_the_clock_anew() -> None:
    busy = after(5000, Sight(busy=["job 1 is active"]))
    assert (busy.step, busy.idle_since) == (Step.STAY, 6000.0)


@pytest.mark.parametrize(
    ("sight", "step"),
    [
        (Sight(requests=1), Step.STAY),
        (Sight(asked_at=1000 + 1800 - 299), Step.STAY),
        (Sight(asked_at=1000 + 1800 - 300), Step.END),
    ],
    ids=["a download runs", "asked lately", "asked long ago"],
)
def test_an_owner_who_is_there_keeps_it_up_and_no_longer(sight: Sight, step: Step) -> None:
    assert after(1800, sight).step is step


def test_agents_go_first_and_their_end_is_confirmed() -> None:
    dismissing = after(1800, Sight(machines=["agent-1"]))
    assert dismissing.step is Step.DISMISS
    still = next_step(dismissing, Sight(machines=["agent-1"]), 2900.0, PATIENCE)
    assert (still.step, still.dismissing_since) == (Step.DISMISS, 2800.0)
    assert next_step(still, NOTHING, 2910.0, PATIENCE).step is Step.END


def test_agents_that_nobody_confirms_do_not_keep_it_up_for_ever() -> None:
    dismissing = after(1800, Sight(machines=["agent-1"]))
    ended = next_step(dismissing, Sight(machines=["agent-1"]), 2800.0 + DISMISS_LIMIT_S, PATIENCE)
    assert ended.step is Step.END
    assert "whether agent-1 are gone is not confirmed" in ended.why


@given(
    st.lists(
        st.tuples(
            st.floats(0, 4000),
            st.builds(
                Sight,
                busy=st.sampled_from([(), ("job",)]),
                requests=st.integers(0, 1),
                machines=st.sampled_from([(), ("agent-1",)]),
            ),
        ),
        max_size=30,
    )
)
def test_it_never_ends_while_there_is_work_nor_before_its_time(looks: list[tuple[float, Sight]]) -> None:
    now, worked_at, standing = 0.0, 0.0, Standing(idle_since=0.0)
    for pause_s, sight in looks:
        now += pause_s
        worked_at = now if sight.busy else worked_at
        standing = next_step(standing, sight, now, PATIENCE)
        if standing.step is not Step.STAY:
            assert now - worked_at >= PATIENCE.idle_s
            assert sight.requests == 0
        if standing.step is Step.END:
            assert not sight.machines or now - (standing.dismissing_since or now) >= DISMISS_LIMIT_S


@dataclass
class Watched:
    """A watch whose time and farm are told by a test."""

    sight: Sight = NOTHING
    now: float = 0.0
    said: list[object] = field(default_factory=list)
    trouble: bool = False

    def watch(self) -> IdleWatch:
        return IdleWatch(self._look, PATIENCE, dismiss=self.said.append, end=self.said.append, clock=lambda: self.now)

    def _look(self) -> Sight:
        if self.trouble:
            raise FarmError("the ledger is away")
        return self.sight


def test_watch_dismisses_once_and_ends_once_the_machines_are_gone(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(Sight(machines=["agent-1"]))
    watch = watched.watch()
    caplog.set_level("INFO")
    for watched.now in (1000.0, 1800.0, 1805.0):
        watch.tick()
    assert watched.said == [True]
    watched.sight = NOTHING
    assert watch.tick() is Step.END
    assert watched.said[0] is True
    assert "nothing to do" in str(watched.said[1])
    assert "the Manager ends itself: there was nothing to do" in caplog.text


def test_watch_takes_its_dismissal_back_when_work_comes() -> None:
    watched = Watched(Sight(machines=["agent-1"]))
    watch = watched.watch()
    watched.now = 1800.0
    watch.tick()
    watched.sight = Sight(busy=["job"], machines=["agent-1"])
    assert watch.tick() is Step.STAY
    assert watched.said == [True, False]


def test_watch_does_nothing_when_it_cannot_see() -> None:
    watched = Watched(now=0.0)
    watch = watched.watch()
    watched.now, watched.trouble = 9999.0, True
    with pytest.raises(FarmError):
        watch.tick()
    assert watched.said == []
