"""What was found out, as JSON, as a table for people, and as a picture."""

from __future__ import annotations

from dataclasses import asdict
from html import escape
from typing import Any

from bench.market.compare import Line, spread
from bench.market.proof import SHOWN, Proof

WIDTH, HEIGHT, MARGIN = 760, 380, 60


def as_json(lines: list[Line], proof: Proof | None, **more: Any) -> dict[str, Any]:
    """Everything, as plain values."""
    found: dict[str, Any] = dict(more)
    found["policies"] = [
        {
            "name": line.name,
            "usd": _numbers(line.usd),
            "cost_to_ideal": _numbers(line.cost),
            "makespan_to_ideal": _numbers(line.time),
            "waste": round(line.waste, 3),
            "preempted": line.preempted,
            "unfinished": line.unfinished,
        }
        for line in lines
    ]
    if proof:
        found["caps"] = asdict(proof) | {"passed": proof.passed[:SHOWN], "passed_total": len(proof.passed)}
    return found


def table(found: dict[str, Any]) -> list[str]:
    """Lines for people, of `as_json`'s values; the tables are Markdown."""
    rows = []
    if found["policies"]:
        rows += [
            "| policy | USD | cost / ideal | makespan / ideal | waste | preempted | unfinished |",
            "|---|---|---|---|---|---|---|",
        ]
        rows += [
            f"| {p['name']} | {_range(p['usd'])} | {_range(p['cost_to_ideal'])} | {_range(p['makespan_to_ideal'])} "
            f"| {p['waste']:.0%} | {p['preempted']} | {p['unfinished']} |"
            for p in found["policies"]
        ]
    if "caps" in found:
        rows += _caps(found["caps"])
    return rows


def picture(found: dict[str, Any]) -> str:
    """SVG: cost over makespan, both in multiples of the ideal; the middle eight tenths as lines."""
    policies = found["policies"]
    x_max = max(p["makespan_to_ideal"]["p90"] for p in policies) * 1.05
    y_max = max(p["cost_to_ideal"]["p90"] for p in policies) * 1.05
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        *_axes(x_max, y_max),
    ]
    for number, policy in enumerate(policies):
        parts += _mark(policy, number, len(policies), x_max, y_max)
    return "\n".join([*parts, "</svg>", ""])


def _numbers(values: list[float]) -> dict[str, float]:
    middle, low, high = spread(values)
    mean = sum(values) / len(values)
    return {name: round(v, 3) for name, v in (("median", middle), ("p10", low), ("p90", high), ("mean", mean))}


def _range(numbers: dict[str, float]) -> str:
    return f"{numbers['median']:.2f} ({numbers['p10']:.2f} to {numbers['p90']:.2f})"


def _caps(caps: dict[str, Any]) -> list[str]:
    ends = ", ".join(f"{count} {why}" for why, count in sorted(caps["endings"].items()))
    rows = [
        f"{caps['runs']} random runs with caps: {caps['finished']} finished all jobs, a cap stopped {caps['stopped']}",
        f"{caps['decisions']} decisions, {caps['machines']} machines, {caps['preempted']} preempted; ended: {ends}",
        f"largest share of a cap that was spent: {caps['closest']:.4f}",
    ]
    verdict = f"caps or limits passed: {caps['passed_total']}"
    return [*rows, verdict if caps["passed_total"] else "no cap was passed", *caps["passed"]]


def _axes(x_max: float, y_max: float) -> list[str]:
    left, bottom = MARGIN, HEIGHT - MARGIN
    parts = [
        f'<path d="M{left} {MARGIN / 2} V{bottom} H{WIDTH - MARGIN / 2}" fill="none" stroke="#444"/>',
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 12}" text-anchor="middle">makespan in multiples of the ideal</text>',
        f'<text transform="translate(16 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">'
        "cost in multiples of the ideal</text>",
    ]
    for tick in range(1, int(max(x_max, y_max)) + 1):
        if tick <= x_max:
            parts.append(f'<text x="{_x(tick, x_max):.0f}" y="{bottom + 16}" text-anchor="middle">{tick}</text>')
        if tick <= y_max:
            parts.append(f'<text x="{left - 8}" y="{_y(tick, y_max) + 4:.0f}" text-anchor="end">{tick}</text>')
    return parts


def _mark(policy: dict[str, Any], number: int, count: int, x_max: float, y_max: float) -> list[str]:
    time, cost = policy["makespan_to_ideal"], policy["cost_to_ideal"]
    colour = f"hsl({360 * number / count:.0f} 70% 40%)"
    x, y = _x(time["median"], x_max), _y(cost["median"], y_max)
    label_y = MARGIN / 2 + 16 * (number + 1)
    return [
        f'<path d="M{_x(time["p10"], x_max):.1f} {y:.1f} H{_x(time["p90"], x_max):.1f} '
        f'M{x:.1f} {_y(cost["p10"], y_max):.1f} V{_y(cost["p90"], y_max):.1f}" stroke="{colour}" opacity="0.5"/>',
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>',
        f'<circle cx="{WIDTH - 230}" cy="{label_y - 4}" r="5" fill="{colour}"/>',
        f'<text x="{WIDTH - 218}" y="{label_y}">{escape(policy["name"])}</text>',
    ]


def _x(value: float, x_max: float) -> float:
    return MARGIN + value / x_max * (WIDTH - 1.5 * MARGIN)


def _y(value: float, y_max: float) -> float:
    return HEIGHT - MARGIN - value / y_max * (HEIGHT - 1.5 * MARGIN)
