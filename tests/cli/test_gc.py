"""Sizes and times as people write them."""

from __future__ import annotations

import click
import pytest

from blendnet.cli.gc import seconds, size_bytes


@pytest.mark.parametrize(
    ("text", "value"),
    [("50GB", 50 * 10**9), ("1.5 GiB", 3 << 29), ("100", 100), ("7 b", 7), ("2tb", 2 * 10**12)],
)
def test_size_is_read_as_people_write_it(text: str, value: int) -> None:
    assert size_bytes(text) == value


@pytest.mark.parametrize(("text", "value"), [("14d", 1_209_600), ("12h", 43_200), ("1.5m", 90), ("2w", 1_209_600)])
def test_time_is_read_as_people_write_it(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "GB", "-5GB", "5 apples", "1e9"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a size"):
        size_bytes(text)


@pytest.mark.parametrize("text", ["", "14", "d", "-1d", "1y"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a time"):
        seconds(text)
