"""Machines that were asked for wherever there is one: which of them still have the price of the dearest zone. PURE."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from blendnet.manager.ledger import InstanceRow
from blendnet.provision.base import Offer

LAUNCH_S = 900.0
"""A price that is asked for so long after a launch is not what the machine was launched at."""


def real_offer(row: InstanceRow) -> Offer:
    """What a machine is, in the zone that its cloud took."""
    return Offer(row.machine, row.zone, row.spot)


def dearest_zone_priced(rows: Iterable[InstanceRow], asked: Collection[int], now: float) -> list[InstanceRow]:
    """Those whose zone is known by now, and whose price is that of any zone. `asked`: looked up before."""
    return [row for row in rows if row.id not in asked and _has_price_of_any_zone(row, now)]


def _has_price_of_any_zone(row: InstanceRow, now: float) -> bool:
    if row.launched_at is None or not row.zone or not row.machine or now - row.launched_at > LAUNCH_S:
        return False
    offers = {Offer(str(one[0]), str(one[1]), bool(one[2])): one[3] for one in row.offers}
    anywhere = Offer(row.machine, "", row.spot)
    return real_offer(row) not in offers and anywhere in offers and offers[anywhere] == row.usd_per_hour
