"""What a run found out, as a table for people and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise
from typing import Any

from bench.simulator.farm import Load
from bench.simulator.record import Record, spread
from bench.simulator.run import Outcome

WARM_UP_SHARE = 0.1
"""Memory is compared from the point on at which so much was completed: before, caches and pools fill."""
PER = 10_000


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Everything, as plain values."""
    options = {name: str(value) if name == "data" else value for name, value in asdict(outcome.options).items()}
    return {
        "options": options,
        "chunks": outcome.options.chunks_total,
        "submit_s": round(outcome.submit_s, 2),
        "wall_s": round(outcome.wall_s, 1),
        "paced": _answers(outcome.paced),
        "loaded": _answers(outcome.loaded),
        "counts": dict(outcome.loaded.counts),
        "throughput": _throughput(outcome),
        "memory": _memory(outcome.loads),
        "strike": _strike(outcome),
        "redis_left": outcome.redis_left,
        "problems": outcome.problems[:20],
        "problems_total": len(outcome.problems),
    }


def lines(found: dict[str, Any]) -> list[str]:
    """The table of `as_json`'s values."""
    options, rows = found["options"], []
    rows.append(f"{options['agents']} agents, {found['chunks']} chunks, render {options['render_s']} s")
    rows += [f"{'submitting all jobs':<44}{found['submit_s']:>10} s"]
    for name, values in found["throughput"].items():
        rows.append(f"{name:<44}{values:>10}")
    for phase, title in (("paced", f"at {options['rate']:.0f} requests/s"), ("loaded", "under full load")):
        rows += [f"{title:<24}{'answers':>10}{'median':>10}{'p99':>10}{'max':>10}  ms"] if found[phase] else []
        rows += [
            f"  {call:<22}{s['count']:>10}{_ms(s['median_s'])}{_ms(s['p99_s'])}{_ms(s['max_s'])}"
            for call, s in found[phase].items()
        ]
    rows += [f"{name:<44}{value:>10}" for name, value in found["memory"].items()]
    rows += [f"{name:<44}{value:>10}" for name, value in found["strike"].items()]
    rows += [f"  {name:<42}{count:>10}" for name, count in sorted(found["counts"].items())]
    rows += [f"  left in Redis: {name:<27}{count:>10}" for name, count in sorted(found["redis_left"].items())]
    verdict = "every frame completed, every sample covered exactly once"
    return [*rows, *(found["problems"] or [verdict])]


def _answers(record: Record) -> dict[str, Any]:
    return {call: asdict(spread(times)) for call, times in sorted(record.answers_s.items())}


def _throughput(outcome: Outcome) -> dict[str, Any]:
    """Chunks per second, as they were completed and at best, and what one costs."""
    working = [load for load in outcome.loads if load.completed]
    if len(working) < 2:
        return {}
    first, last = working[0], _last_working(working)
    seconds, chunks = last.at_s - first.at_s, max(1, last.completed - first.completed)
    answers = sum(len(times) for times in outcome.loaded.answers_s.values())
    rates = [(b.completed - a.completed) / (b.at_s - a.at_s) for a, b in pairwise(working)]
    return {
        "chunks per second": round(chunks / max(seconds, 1e-9), 1),
        "best two seconds": round(max(rates), 1),
        "requests per second": round(answers / outcome.wall_s, 1),
        "service CPU per chunk, ms": round(1000 * (last.service_cpu_s - first.service_cpu_s) / chunks, 2),
        "service CPU, share of one core": round((last.service_cpu_s - first.service_cpu_s) / seconds, 2),
        "control worker CPU per chunk, ms": round(1000 * (last.control_cpu_s - first.control_cpu_s) / chunks, 2),
        "Redis CPU per chunk, ms": round(1000 * (last.redis_cpu_s - first.redis_cpu_s) / chunks, 2),
        "load generator CPU per chunk, ms": round(1000 * outcome.generator_cpu_s / chunks, 2),
    }


def _last_working(loads: list[Load]) -> Load:
    """The first look at which nothing more was to be completed."""
    return next(load for load in loads if load.completed == loads[-1].completed)


def _memory(loads: list[Load]) -> dict[str, Any]:
    if not loads:
        return {}
    warm = [load for load in loads if load.completed >= WARM_UP_SHARE * loads[-1].completed] or loads
    first, last, found = warm[0], loads[-1], {}
    for name in ("service_mib", "control_mib", "redis_mib", "ledger_mib", "redis_keys"):
        values = [getattr(load, name) for load in loads]
        growth = (getattr(last, name) - getattr(first, name)) / max(1, last.completed - first.completed) * PER
        what = name.replace("_mib", " MiB").replace("_", " ")
        found[f"{what}: warm, highest, at the end"] = " ".join(
            f"{value:.0f}" for value in (getattr(first, name), max(values), values[-1])
        )
        found[f"{what}: growth per {PER} chunks"] = round(growth, 2)
    return found


def _strike(outcome: Outcome) -> dict[str, Any]:
    if not outcome.struck:
        return {}
    times, record = spread(outcome.loaded.recovered_s), outcome.loaded
    needed = sum(record.counts[what] for what in ("completed",)) or 1
    return {
        "agents that died at once": outcome.struck,
        "chunks they held, claimed again": times.count,
        "not claimed again": record.unrecovered,
        "claimed again after, median s": round(times.median_s, 1),
        "claimed again after, p90 s": round(times.p90_s, 1),
        "claimed again after, max s": round(times.max_s, 1),
        "samples rendered per completed chunk": round(record.samples_rendered / needed, 3),
    }


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:>10.1f}"
