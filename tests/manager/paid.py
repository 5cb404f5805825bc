"""Farms whose bytes cost money, and what is on their bill."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from blendnet.manager.egress import GB
from blendnet.manager.farm_money import Money
from blendnet.manager.jobs import Farm
from blendnet.manager.ledger.meters import EGRESS
from blendnet.messages import Blob, JobView
from tests.manager.farms import Kit, make_kit

FILE = "f" * 64
A_DOLLAR_A_BYTE = {"egress_usd_per_gb": GB}
TINY = {"width": 1, "height": 1}
"""A picture that is assumed to have 20 bytes with its layer."""

Make = Callable[..., Kit]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """A farm on which each byte that goes home costs a dollar, unless settings say otherwise."""
    made: list[Kit] = []

    def make(**settings: Any) -> Kit:
        made.append(make_kit(tmp_path / f"farm{len(made)}", **{**A_DOLLAR_A_BYTE, **settings}))
        made[-1].farm.look(made[-1].now)
        return made[-1]

    yield make
    for kit in made:
        kit.farm.ledger.close()


def egress(kit: Kit, day: str | None = None) -> float:
    """Bytes on the bill."""
    with kit.farm.ledger.read() as tx:
        return tx.meters.total(EGRESS, day)[0]


def money(kit: Kit) -> Money:
    with kit.farm.ledger.read() as tx:
        return kit.farm.farm_money(tx, kit.now)[0]


def send(kit: Kit, blob: Blob, sent_bytes: int | None = None) -> None:
    """Send a file as the API does, or what comes of it before the line is cut."""
    passage = kit.farm.begin_sending(blob.sha256, blob.size_bytes, kit.now)
    passage.sent(blob.size_bytes if sent_bytes is None else sent_bytes)
    passage.end()


def results(kit: Kit, job: JobView) -> list[Blob]:
    return [Blob(sha256=one.sha256, size_bytes=one.size_bytes) for one in kit.farm.results(job.id)]


def another_manager(kit: Kit) -> None:
    """The Manager is killed, and another one goes on with its ledger."""
    kit.farm = Farm(kit.farm.ledger, kit.farm.store, kit.farm.settings)
    kit.farm.open_books()
    kit.farm.look(kit.later(1))
