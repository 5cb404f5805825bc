"""What commands print: results on stdout, as text or as JSON; messages on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from blendnet import models
from blendnet.provision.bill import usd_text

WIDE = 200
"""Columns of tables that nobody looks at on a screen: rich would cut them to 80."""
STATE_STYLES = {"completed": "green", "failed": "red", "canceled": "yellow", "active": "cyan", "paused": "yellow"}


def console(*, stderr: bool = False) -> Console:
    """A console that keeps whole lines when it writes into a file or pipe."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else WIDE, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """A message for the person who watches: stderr."""
    click.echo(text, err=True)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Shows on stderr that something takes its time: it moves on a terminal, elsewhere it is one line."""
    if not sys.stderr.isatty():
        say(f"{what} ...")
        yield
        return
    with console(stderr=True).status(f"{what} ..."):
        yield


def print_json(value: Any) -> None:
    """The one result object of a command with --json."""
    click.echo(json.dumps(value, indent=2, default=str))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Rows under a header, on stdout. Columns that start with '>' are right-aligned; known states are coloured."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        right = column.startswith(">")
        table.add_column(column.lstrip(">"), justify="right" if right else "left", no_wrap=right, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    console().print(table)


def print_pairs(pairs: Sequence[tuple[str, object]]) -> None:
    """Name and value lines, on stdout; empty values are left out."""
    shown = [(name, value) for name, value in pairs if value not in (None, "", [])]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        lines = [str(item) for item in value] if isinstance(value, (list, tuple)) else [str(value)]
        click.echo(f"{name:<{width}}  " + f"\n{' ' * (width + 2)}".join(lines))


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    style = STATE_STYLES.get(text)
    return f"[{style}]{text}[/]" if style else text.replace("[", "\\[")


def size(size_bytes: float) -> str:
    """Bytes for people: '1.2 MB'."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"


def duration(seconds: float | None) -> str:
    """Seconds for people: '0:42', '1:02:03'; '?' when unknown."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def usd(amount: float | None, *, unpriced_s: float = 0.0) -> str:
    """Money for people: '$3.10', '$0.0042'; '-' when no price is known, '+' behind what lacks a part."""
    if amount is None:
        return "-"
    return f"{usd_text(amount)}{'+' if unpriced_s > 0 else ''}"


def local_time(at: float) -> str:
    """A moment for people, on this machine's clock: '2026-11-27 14:05'."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def plural(count: int, word: str) -> str:
    """'1 frame', '2 frames'."""
    return models.plural(count, word)
