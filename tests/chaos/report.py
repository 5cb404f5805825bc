"""What a whole run came to: a table for people, JSON for programs."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tests.chaos.trial import Batch, Injected


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def summary(batches: Sequence[Batch]) -> dict[str, Any]:
    """The numbers of a run."""
    faults = [fault for batch in batches for fault in batch.faults]
    needed, rendered = (sum(getattr(batch, name) for batch in batches) for name in ("needed", "rendered"))
    return {
        "batches": len(batches),
        "seconds": round(sum(batch.seconds for batch in batches), 1),
        "frames": sum(batch.frames for batch in batches),
        "faults": len(faults),
        "findings": [f"{batch.seed}: {finding}" for batch in batches for finding in batch.findings],
        "samples_needed": needed,
        "samples_rendered": rendered,
        "waste": round(rendered / needed - 1, 4) if needed else 0.0,
        "worst_difference": max((batch.worst for batch in batches), default=0.0),
        "unknown_files": max((batch.strangers for batch in batches), default=0),
        "kinds": {kind: _of_kind(found) for kind, found in sorted(_by_kind(faults).items())},
    }


def table(batches: Sequence[Batch], left_out: Mapping[str, str]) -> str:
    """The run in Markdown."""
    about = summary(batches)
    lines = [
        "| fault | injected | recovered: median | p90 | max |",
        "|---|---|---|---|---|",
        *(_row(kind, numbers) for kind, numbers in about["kinds"].items()),
        _row("**all**", _of_kind([fault for batch in batches for fault in batch.faults])),
        "",
        f"{about['faults']} faults in {about['seconds'] / 60:.1f} minutes, {about['batches']} batches,"
        f" {about['frames']} frames. {about['samples_rendered']} samples rendered, {about['samples_needed']} needed:"
        f" waste {about['waste']:.1%}. Largest difference {about['worst_difference']:.1e}."
        f" Files unknown to the ledger: {about['unknown_files']}. Findings: {len(about['findings'])}.",
    ]
    lines += [f"Left out: {kind}: {reason}" for kind, reason in left_out.items()]
    lines += [f"FOUND {finding}" for finding in about["findings"]]
    return "\n".join(lines)


def to_json(batches: Sequence[Batch]) -> dict[str, Any]:
    """Everything, every single fault with its time too."""
    return summary(batches) | {"runs": [asdict(batch) | {"waste": batch.waste} for batch in batches]}


def plan_of(batch: Batch) -> str:
    """What happened when: enough to do it again by hand."""
    return "\n".join(f"{fault.at_s:7.2f} s  {fault.kind}: {fault.what}" for fault in batch.faults)


def _by_kind(faults: Sequence[Injected]) -> dict[str, list[Injected]]:
    found: dict[str, list[Injected]] = defaultdict(list)
    for fault in faults:
        found[fault.kind].append(fault)
    return found


def _of_kind(faults: Sequence[Injected]) -> dict[str, Any]:
    times = [fault.recovery_s for fault in faults if fault.recovery_s is not None]
    numbers: dict[str, Any] = {"injected": len(faults), "measured": len(times)}
    if times:
        numbers |= {"median_s": statistics.median(times), "p90_s": quantile(times, 0.9), "max_s": max(times)}
    return numbers


def _row(kind: str, numbers: Mapping[str, Any]) -> str:
    times = [f"{numbers[key]:.1f} s" if key in numbers else "" for key in ("median_s", "p90_s", "max_s")]
    return f"| {kind} | {numbers['injected']} | {' | '.join(times)} |"
