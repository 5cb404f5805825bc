"""A fleet for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.manager.autoscale.loops import Fleet, make_fleet


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """No work, no machine, at most 4."""
    made = make_fleet(tmp_path)
    yield made
    made.kit.farm.ledger.close()
