"""`blendnet costs` in words: every line of the bill, a dash for what nobody knows, prices with source and age."""

from __future__ import annotations

import pytest

from blendnet.cli.costs import print_costs
from blendnet.cli.output import usd
from blendnet.messages import CapState, CostsOf, CostsView, JobCost, MachineCost, PriceOf


def spent(total: float | None, *, unpriced_s: float = 0.0) -> CostsOf:
    line = MachineCost(agent="agent-1", provider="local", billed_s=90, worked_s=60, boot_s=10, idle_s=20, usd=total)
    job = JobCost(job="7f3a", name="still life", worked_s=60, usd=total)
    lines = dict.fromkeys(("agents_usd", "jobs_usd", "boot_usd", "idle_usd", "total_usd"), total)
    return CostsOf(
        agents=[line],
        jobs=[job],
        disk_usd=0.25,
        address_usd=0.125,
        egress_usd=0.5,
        egress_bytes=1,
        manager_usd=0.75,
        unpriced_s=unpriced_s,
        **lines,
    )


def printed(capsys: pytest.CaptureFixture[str], **values: object) -> str:
    about = {"at": 0.0, "day": "2026-11-27", "of_day": spent(1.5), "in_all": spent(2.5)}
    print_costs(CostsView(**{**about, **values}))  # type: ignore[arg-type]
    return capsys.readouterr().out


def test_every_line_of_the_bill_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    price = PriceOf(provider="aws", machine="c7a", zone="z1", usd_per_hour=0.31, source="live", age_s=61.0)
    cap = CapState(cap="day", cap_usd=5.0, spent_usd=1.5, committed_usd=0.1, reached="because")
    text = printed(capsys, prices=[price], caps=[cap])
    beside = ("disk", "addresses", "egress", "Manager", "total")
    assert [line.split() for line in text.splitlines() if line.startswith(beside)] == [
        ["disk", "$0.25", "$0.25"],
        ["addresses", "$0.12", "$0.12"],
        ["egress", "$0.50", "$0.50"],
        ["Manager", "$0.75", "$0.75"],
        ["total", "$1.50", "$2.50"],
    ]
    assert "Price $0.31/h of aws c7a in z1: live, 1:01 old" in text
    assert "$1.50 of $5.00 spent, $0.10 more" in text
    assert "Nothing begins: because." in text
    assert "bring results home" not in text


def test_what_is_kept_back_for_results_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    cap = CapState(cap="day", cap_usd=5.0, spent_usd=1.5, committed_usd=0.3, home_usd=0.2)
    text = printed(capsys, caps=[cap])
    assert "$0.30 more until all agents could be gone, $0.20 of it to bring results home." in text


def test_an_unknown_price_is_a_dash_and_never_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, of_day=spent(None, unpriced_s=90), in_all=spent(None, unpriced_s=90))
    assert ["total", "-", "-"] in [line.split() for line in text.splitlines()]
    assert "No price is known for 1:30" in text


@pytest.mark.parametrize(
    ("amount", "unpriced_s", "text"),
    [(None, 9.0, "-"), (0.0, 0.0, "$0.00"), (0.00042, 0.0, "$0.00042"), (12.345, 3.0, "$12.35+")],
)
def test_money_has_digits_that_say_something(amount: float | None, unpriced_s: float, text: str) -> None:
    assert usd(amount, unpriced_s=unpriced_s) == text
