"""What holds in every situation, with random situations."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blendnet.provision import commitments
from blendnet.provision.base import Offer, Quota, Shortage
from blendnet.provision.decision import Why
from blendnet.provision.policy import Policy
from blendnet.provision.scaling import decide
from blendnet.provision.situation import Cap, Choice, Loss, Machine, Need, Setback, Situation
from tests.provision.fleet_values import NOW, booting, choice, machine

pytestmark = pytest.mark.thorough

OFFERS = [Offer(name, zone, spot) for name in ("small", "big") for zone in "ab" for spot in (True, False)]
JOBS = ("1", "2", "3")
DEVICES = ("", "CPU", "OPTIX")
PRICES = st.none() | st.sampled_from((0.0, 0.05, 0.36, 2.0))
STEPS_S = st.sampled_from((0.0, 0.0, 600.0, 3600.0))

policies = st.builds(
    Policy,
    min=st.integers(0, 2),
    max=st.integers(2, 12),
    on_demand=st.sampled_from(("never", "fallback", "always")),
    prefer=st.sampled_from(("cost", "time")),
    worth=st.sampled_from((0.25, 1.0, 8.0)),
    spread=st.integers(1, 4),
    unknown_prices=st.booleans(),
)
needs = st.builds(
    Need,
    job=st.sampled_from(JOBS),
    work_s=st.none() | st.floats(0, 1e6),
    chunks=st.integers(0, 50),
    device=st.sampled_from(DEVICES),
    priority=st.integers(0, 2),
    starts_at=st.sampled_from((0.0, NOW + 100, NOW + 1e5)),
)
caps = st.builds(
    Cap,
    name=st.sampled_from(("farm", "day", "job 1")),
    limit_usd=st.floats(0, 3),
    spent_usd=st.floats(0, 2),
).map(lambda cap: Cap(name=cap.name, limit_usd=cap.limit_usd, spent_usd=cap.spent_usd, job=cap.name[4:]))
setbacks = st.builds(
    Setback,
    st.sampled_from(OFFERS),
    st.floats(NOW - 5000, NOW),
    st.sampled_from([*(kind for kind in Shortage if kind is not Shortage.REFUSED), *Loss]),
)
choices = st.builds(
    lambda of, usd, device, speed, step_s: choice(of, usd, device=device, speed=speed, takes={"q": 2.0}, step_s=step_s),
    st.sampled_from(OFFERS),
    PRICES,
    st.sampled_from(("CPU", "OPTIX")),
    st.sampled_from((0.5, 1.0, 4.0)),
    STEPS_S,
)


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    make = draw(st.sampled_from((machine, booting)))
    return make(
        "",
        age_s=draw(st.floats(0.1, 2000)),
        offer=draw(st.sampled_from(OFFERS)),
        usd_per_hour=draw(PRICES),
        job=draw(st.sampled_from(("", *JOBS))),
        device=draw(st.sampled_from(("CPU", "OPTIX"))),
        idle_since=draw(st.none() | st.floats(NOW - 1000, NOW)) if make is machine else None,
        ending_since=draw(st.none() | st.none() | st.floats(NOW - 100, NOW)),
        wanted=draw(st.sampled_from((True, True, True, False))),
        busy_left_s=draw(st.none() | st.floats(0, 100)),
        unsaved_s=draw(st.floats(0, 100)),
        step_s=draw(STEPS_S),
    )


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    found = draw(st.lists(machines(), max_size=8))
    named = [Machine(**vars(m) | {"name": f"agent-{i}"}) for i, m in enumerate(found)]
    return Situation(
        now=NOW,
        needs=draw(st.lists(needs, max_size=3, unique_by=lambda n: n.job)),
        machines=named,
        choices=draw(st.lists(choices, max_size=8, unique_by=lambda c: c.offer)),
        setbacks=draw(st.lists(setbacks, max_size=6)),
        quotas=draw(st.lists(st.builds(Quota, st.just("q"), st.none() | st.floats(0, 20)), max_size=1)),
        caps=draw(st.lists(caps, max_size=3, unique_by=lambda c: c.name)),
        boot_s=draw(st.sampled_from((10.0, 120.0, 900.0))),
        end_delay_s=draw(st.sampled_from((1.0, 180.0))),
    )


def price_of(offer: Offer, now: Situation) -> Choice:
    return next(c for c in now.choices if c.offer == offer)


@given(now=situations(), policy=policies)
@settings(max_examples=100, deadline=None)
def test_a_decision_keeps_its_promises(now: Situation, policy: Policy) -> None:
    decision = decide(now, policy)
    assert decide(now, policy) == decision
    asked = sum(request.count for request in decision.create)
    alive = sum(m.is_living for m in now.machines)
    assert asked == 0 or alive + asked <= policy.max
    known = {m.name for m in now.machines}
    names = [e.name for e in (*decision.destroy, *decision.drain)]
    assert set(names) <= known
    assert len(names) == len(set(names))
    assert commitments.LEAST_WAIT_S <= decision.wait_s <= policy.tick_s
    for ending in (*decision.destroy, *decision.drain):
        assert any(ending.name in line and ending.reason in line for line in decision.explain)
    for request in decision.create:
        assert request.count > 0
        assert len({offer.spot for offer in request.offers}) == 1
        assert any(request.reason in line for line in decision.explain)


@given(now=situations(), policy=policies)
@settings(max_examples=100, deadline=None)
def test_no_cap_is_passed_until_the_next_decision_however_the_cloud_behaves(now: Situation, policy: Policy) -> None:
    """Everything that goes on is told to end as late as possible, and everything asked for is given at its dearest."""
    decision = decide(now, policy)
    gone = {e.name for e in decision.destroy}
    until_s = decision.wait_s + policy.late_s
    for cap in now.caps:
        staying = [m for m in now.machines if m.name not in gone and not m.is_ending and m.is_living]
        under = commitments.covered(cap, staying)
        if cap.job:
            halted = cap.job in {halt.job for halt in decision.halt}
            draining = {e.name for e in decision.drain}
            under = [m for m in under if not halted or m.name in draining]
        extra = sum(commitments.extra_usd(m, now, until_s) for m in under)
        new = sum(
            request.count * commitments.least_usd(price_of(offer, now), request.usd_per_hour or 0.0, now, policy)
            for request in decision.create
            for offer in request.offers[:1]
            if cap.job in ("", request.job)
        )
        left = commitments.left_usd(cap, now)
        # What is committed already cannot be had back: nothing more may be added to it then.
        assert extra + new <= max(0.0, left) + 1e-9
        assert all(request.usd_per_hour is not None for request in decision.create)


@given(now=situations(), policy=policies, boot_s=st.sampled_from([3.0, 20.0, 100.0]))
@settings(max_examples=60, deadline=None)
def test_what_is_asked_for_is_not_ended_before_it_was_of_use(now: Situation, policy: Policy, boot_s: float) -> None:
    """The machines of a decision boot, and the same decision is made again: it keeps them, and asks for no more."""
    now = Situation(**vars(now) | {"caps": (), "boot_s": boot_s})
    decision = decide(now, policy)
    gone = {e.name for e in decision.destroy}
    going_on = [m for m in now.machines if m.name not in gone]
    new = [
        booting(f"new-{i}-{j}", age_s=0, offer=request.offers[0], usd_per_hour=request.usd_per_hour, job=request.job,
                device=price_of(request.offers[0], now).device, speed=price_of(request.offers[0], now).speed)
        for i, request in enumerate(decision.create)
        for j in range(request.count)
    ]  # fmt: skip
    later = Situation(**vars(now) | {"machines": [*going_on, *new]})
    again = decide(later, policy)
    assert {e.name for e in again.destroy if e.name.startswith("new")} == set()


@given(now=situations(), policy=policies)
@settings(max_examples=60, deadline=None)
def test_a_machine_that_works_is_only_ended_for_money_or_because_nobody_wants_it(
    now: Situation, policy: Policy
) -> None:
    working = {m.name for m in now.machines if m.joined_at is not None and m.idle_since is None and not m.is_ending}
    for ending in decide(now, policy).destroy:
        if ending.name in working:
            assert ending.why in (Why.CAP, Why.ORPHAN)
