"""The attempts at a job that ended without success, as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import click

from blendnet.cli import output
from blendnet.client import ManagerClient
from blendnet.messages import AttemptView

PAGE = 1000


def all_attempts(client: ManagerClient, job_id: str, *, frame: int | None = None) -> list[AttemptView]:
    """All of a job, or of one frame of it."""
    found: list[AttemptView] = []
    while page := client.attempts(job_id, frame=frame, after=found[-1].id if found else 0, limit=PAGE):
        found += page
    return found


def reasons_text(attempts: Sequence[AttemptView]) -> str:
    """'2 crash, 1 memory': how many attempts ended for which reason; '' when none did."""
    counts = Counter(attempt.reason for attempt in attempts)
    return ", ".join(f"{count} {reason}" for reason, count in counts.most_common())


def print_attempts(attempts: Sequence[AttemptView], *, with_log: bool) -> None:
    """A table, and what Blender said below it."""
    if not attempts:
        output.say("No attempt has ended without success.")
        return
    columns = [">FRAME", "WORK", "SAMPLES", ">ATTEMPT", "AGENT", "REASON", ">MEMORY", "PROGRESS", ""]
    output.print_table(columns, [_row(attempt) for attempt in attempts])
    for attempt in attempts:
        if with_log and attempt.log:
            click.echo(f"\n--- {_about(attempt)}\n{attempt.log}")


def _row(attempt: AttemptView) -> tuple[object, ...]:
    return (
        attempt.frame,
        attempt.work.value,
        _samples(attempt),
        attempt.token,
        attempt.agent,
        attempt.reason,
        None if attempt.peak_memory_bytes is None else output.size(attempt.peak_memory_bytes),
        attempt.progress,
        attempt.message,
    )


def _samples(attempt: AttemptView) -> str:
    if attempt.offset is None or attempt.count is None:
        return ""
    return f"{attempt.offset}-{attempt.offset + attempt.count}"


def _about(attempt: AttemptView) -> str:
    frame = "" if attempt.frame is None else f"frame {attempt.frame}, "
    return f"{frame}{attempt.work.value} {_samples(attempt)}".strip() + f", attempt {attempt.token}: {attempt.reason}"
