"""An estimate for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from blendnet.cli import output
from blendnet.cli.cloud_probe import as_record
from blendnet.cli.cloud_question import Candidate, Question, assumptions, settings_record, warnings
from blendnet.cli.cloud_types import UNKNOWN, age_text, price_text
from blendnet.provision.base import Price
from blendnet.provision.estimate import Line

CENTS = 4
"""Digits of amounts in JSON after the point."""


def record(question: Question, candidates: Sequence[Candidate], now: float) -> dict[str, Any]:
    """The JSON object: the best machine's estimate, and below `machines` all that were compared."""
    best = candidates[0]
    return {
        **_summary(question, best, now),
        "provider": question.provider,
        "region": question.region,
        "frames": question.work.frames,
        "samples": question.work.samples,
        "strategy": question.work.strategy.value,
        "strategy_reason": question.reason,
        "chunks": best.estimate.course.chunks,
        "probe": {**as_record(question.probe), "job": question.probe.job or None},
        "lines": [
            {"name": line.name, "seconds": _rounded(line.seconds, 1), "usd": _rounded(line.usd, 6)}
            for line in best.estimate.lines
        ],
        "assumptions": list(assumptions(question, best)),
        "assumed": dict(settings_record(question.rules)),
        "warnings": list(warnings(question, best, now)),
        "machines": [_summary(question, candidate, now) for candidate in candidates],
    }


def print_estimate(question: Question, candidates: Sequence[Candidate], now: float) -> None:
    """A table of the machine types, the best one's numbers and bill, and what all of it assumes."""
    best = candidates[0]
    for text in warnings(question, best, now):
        output.say(f"Warning: {text}.")
    if len(candidates) > 1:
        columns = ["", "TYPE", ">VCPU", ">RAM", ">$/H", ">AGENTS", ">TIME", ">COST", ">FROM", ">TO"]
        output.print_table(columns, [_row(question, candidate, best) for candidate in candidates])
        click.echo()
    output.print_pairs(_facts(question, best, now))
    click.echo()
    print_bill(best.estimate.lines)
    click.echo("\nAssumed:")
    for text in assumptions(question, best):
        click.echo(f"  - {text}")


def print_bill(lines: Sequence[Line]) -> None:
    """The parts of the cost."""
    rows = [(line.name, _time(line.seconds), _money(line.usd)) for line in lines]
    output.print_table(["", ">MACHINE TIME", ">COST"], rows)


def _facts(question: Question, best: Candidate, now: float) -> list[tuple[str, object]]:
    made, work = best.estimate, question.work
    low_s, high_s = made.seconds_range
    return [
        ("Cost", f"{_money(made.usd)}{_range_text(best)}"),
        ("Time", f"{_time(made.seconds)} ({_time(low_s)} to {_time(high_s)})"),
        ("Machines", f"{made.course.agents} x {best.entry.type.name}, {'spot' if question.spot else 'on demand'}"),
        ("Price", _price_text(best.entry.price(spot=question.spot), now)),
        ("Work", f"{output.plural(work.frames, 'frame')} of {output.plural(work.samples, 'sample')}"),
        ("Split", question.reason),
    ]


def _summary(question: Question, candidate: Candidate, now: float) -> dict[str, Any]:
    price, made = candidate.entry.price(spot=question.spot), candidate.estimate
    usd_range = made.usd_range
    return {
        "usd": _rounded(made.usd, CENTS),
        "usd_range": [round(value, CENTS) for value in usd_range] if usd_range else None,
        "seconds": round(made.seconds, 1),
        "seconds_range": [round(value, 1) for value in made.seconds_range],
        "price_source": price.source if price else None,
        "price_age_s": round(price.age_s(now), 1) if price else None,
        "usd_per_hour": price.usd_per_hour if price else None,
        "machine": candidate.entry.type.name,
        "zone": price.zone if price else "",
        "spot": question.spot,
        "agents": made.course.agents,
        "vcpus": candidate.entry.type.vcpus,
        "speed": round(candidate.speed, 3),
    }


def _row(question: Question, candidate: Candidate, best: Candidate) -> tuple[object, ...]:
    type_, made = candidate.entry.type, candidate.estimate
    price = candidate.entry.price(spot=question.spot)
    low, high = made.usd_range or (None, None)
    return (
        "best" if candidate is best else "", type_.name, type_.vcpus, output.size(type_.memory_bytes),
        price_text(price.usd_per_hour if price else None), made.course.agents, output.duration(made.seconds),
        _money(made.usd), _money(low), _money(high),
    )  # fmt: skip


def _price_text(price: Price | None, now: float) -> str:
    if price is None:
        return UNKNOWN
    zone = f", {price.zone}" if price.zone else ""
    return f"${price_text(price.usd_per_hour)} an hour for each ({price.source}, {_age(price.age_s(now))}{zone})"


def _age(seconds: float) -> str:
    text = age_text(seconds)
    return "of this minute" if text == "now" else f"{text} old"


def _time(seconds: float | None) -> str:
    return "" if seconds is None else output.duration(seconds)


def _range_text(candidate: Candidate) -> str:
    made = candidate.estimate.usd_range
    return f" ({_money(made[0])} to {_money(made[1])})" if made else ""


def _money(usd: float | None) -> str:
    """'$1.23'; small amounts with as many digits as tell something."""
    if usd is None:
        return UNKNOWN
    if 0 < usd < 0.0001:
        return "< $0.0001"
    return f"${usd:.2f}" if usd >= 0.1 or usd == 0 else f"${usd:.4f}"


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
