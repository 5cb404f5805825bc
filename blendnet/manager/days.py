"""Days of the books: in UTC. PURE."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta


def day_of(at: float) -> str:
    """The day of a time, YYYY-MM-DD in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def day_bounds(day: str) -> tuple[float, float]:
    """When a day begins and ends, UTC. Raises ValueError for what is no day."""
    begin = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
    return begin.timestamp(), (begin + timedelta(days=1)).timestamp()


def by_day(begin: float, end: float) -> Iterator[tuple[str, float]]:
    """The seconds between two times, in parts that lie in one day each."""
    while begin < end:
        day = day_of(begin)
        until = min(end, day_bounds(day)[1])
        yield day, until - begin
        begin = until
