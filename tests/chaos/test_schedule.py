"""The plan of faults and the arithmetic of the report."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from tests.chaos.report import quantile, summary
from tests.chaos.schedule import HOLD_LEASES, plan
from tests.chaos.trial import Batch, Injected

KINDS = ("a", "b", "c", "d")


def first(count: int, seed: str = "1", rate_s: float = 5.0):
    return list(itertools.islice(plan(seed, KINDS, rate_s=rate_s, lease_s=3.0), count))


def test_plan_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    assert first(50) == first(50)
    assert first(50) != first(50, seed="2")


def test_plan_has_every_kind_before_any_comes_twice() -> None:
    counts = Counter(fault.kind for fault in first(40 * len(KINDS)))
    assert set(counts.values()) == {40}


def test_plan_keeps_its_rate_and_combines_some_faults() -> None:
    faults = first(2000)
    moments = sorted({fault.at_s for fault in faults})
    assert moments[-1] / len(moments) == pytest.approx(5.0, rel=0.15)
    assert 0.5 < len(moments) / len(faults) < 0.9


def test_faults_last_for_some_leases() -> None:
    holds = [fault.hold_s for fault in first(500)]
    assert min(holds) >= 3.0 * HOLD_LEASES[0]
    assert max(holds) <= 3.0 * HOLD_LEASES[1]


def test_plan_without_kinds_is_empty() -> None:
    assert list(plan("1", (), rate_s=1.0, lease_s=3.0)) == []


def test_quantile_is_a_value_of_the_list() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.9) == 3.0
    assert quantile([5.0], 0.5) == 5.0


def test_summary_counts_faults_samples_and_findings() -> None:
    batch = Batch(
        "s", needed=100, rendered=112, faults=[Injected(1.0, "a", ""), Injected(2.0, "a", "", recovery_s=4.0)]
    )
    batch.findings.append("a frame is lost")
    about = summary([batch])
    assert about["waste"] == 0.12
    assert about["faults"] == 2
    assert about["kinds"]["a"] == {"injected": 2, "measured": 1, "median_s": 4.0, "p90_s": 4.0, "max_s": 4.0}
    assert about["findings"] == ["s: a frame is lost"]
