"""What may begin until the Manager looks, and the fleet decides, again."""

from __future__ import annotations

from blendnet.manager.gate import Gate, Opening

JOB, CAP_USD = "1", 10.0


def comes(gate: Gate, usd_per_hour: float, job: str = JOB) -> bool:
    return gate.admit(job, CAP_USD, 0.01, coming_usd_per_hour=usd_per_hour)


def opened(coming: dict[str, float]) -> Gate:
    gate = Gate()
    gate.open(Opening(rooms={JOB: CAP_USD, "2": CAP_USD}))
    gate.limit(coming)
    return gate


def test_machines_come_over_as_far_as_the_decision_has_room_for_them() -> None:
    gate = opened({JOB: 1.0})
    assert [comes(gate, usd) for usd in (0.6, 0.6, 0.4, 0.1)] == [True, False, True, False]
    assert comes(gate, 0.0), "a machine of its own"
    assert comes(gate, 99.0, "2"), "no decision has limited it"


def test_a_dear_machine_leaves_room_for_a_cheap_one() -> None:
    gate = opened({JOB: 0.5})
    assert [comes(gate, 2.0), comes(gate, 0.5)] == [False, True]


def test_what_came_after_a_decision_had_looked_counts_in_it() -> None:
    gate = opened({JOB: 1.0})
    gate.begin_decision()
    assert comes(gate, 0.8)
    gate.limit({JOB: 1.0})
    assert not comes(gate, 0.8)


def test_what_came_long_before_a_decision_is_seen_by_it() -> None:
    gate = opened({JOB: 1.0})
    assert comes(gate, 0.8)
    for seen in (False, False, True):
        gate.begin_decision()
        gate.limit({JOB: 1.0})
        assert comes(gate, 0.8) is seen


def test_decisions_that_fail_forget_nobody_who_came() -> None:
    gate = opened({JOB: 1.0})
    assert comes(gate, 0.8)
    for _ in range(3):
        gate.begin_decision()
        assert not comes(gate, 0.8)
