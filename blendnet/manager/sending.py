"""Whether there is money to send a file to an owner. It is on the bill, whole, before its first byte."""

from __future__ import annotations

from blendnet.errors import CapReached
from blendnet.manager.days import day_of
from blendnet.manager.egress import PaidPassage, Passage, egress_usd_per_gb
from blendnet.manager.farm_money import FarmMoney, Money
from blendnet.manager.forecast import ample_cap
from blendnet.manager.ledger import Transaction
from blendnet.manager.ledger.meters import EGRESS
from blendnet.provision.bill import usd_text

ROUNDING_USD = 1e-9
"""Sums of what is kept back are no more exact than that."""


class Sending(FarmMoney):
    """The part of the Farm that lets files go to owners as far as the caps of day and farm allow."""

    def begin_sending(self, sha256: str, size_bytes: int, now: float, *, to_end: bool = True) -> Passage:
        """The Manager is about to send so many bytes of a file; `to_end`: the last one is among them.

        What it returns is told what went out, and the end. Raises CapReached: then nothing is to be sent.
        """
        price = egress_usd_per_gb(self.settings, from_cloud=bool(self.settings.manager_cloud))
        if not price or not size_bytes:
            return Passage(self.work.sent)
        return self._begin_paid(PaidPassage(sha256, day_of(now), size_bytes, price, to_end), now)

    def give_address(self, sha256: str, size_bytes: int, now: float) -> None:
        """An owner is about to get an address of a file in the bucket: it counts as sent. Raises CapReached."""
        price = egress_usd_per_gb(self.settings, from_cloud=True)
        if not price or not size_bytes:
            self.work.left(size_bytes)
            return
        passage = self._begin_paid(PaidPassage(sha256, day_of(now), size_bytes, price, to_end=True), now)
        passage.sent(size_bytes)
        passage.end()

    def _begin_paid(self, passage: PaidPassage, now: float) -> PaidPassage:
        """Put a file on the bill, if there is room; alone in doing so: no two files go out on the same money."""
        carried = self.passages.carried(passage.sha256)
        # Before it is on the bill: nobody may find it there and its money still kept back.
        self.passages.begin(passage)
        try:
            with self.passages.settling() as ended, self.ledger.write() as tx:
                self._settle(tx, ended, now)
                self._check_room(tx, passage, now, carried)
                tx.meters.add(EGRESS, passage.day, passage.size_bytes, passage.usd)
        except BaseException:
            self.passages.forget([passage])
            raise
        return passage

    def _check_room(self, tx: Transaction, passage: PaidPassage, now: float, carried: int) -> None:
        if not self.caps_in(tx):
            return
        awaited = tx.results.awaited([passage.sha256], self._awaited_since(now))
        kept = carried < awaited.get(passage.sha256, (0, 0))[0]
        # Results do not wait for each other's money: who fetches one has chosen.
        for money in self.farm_money(tx, now, results=not kept):
            room_usd = money.fetching_left_usd if kept else money.left_usd
            if passage.usd > room_usd + ROUNDING_USD:
                raise _refused(money, passage.usd)


def _refused(money: Money, usd: float) -> CapReached:
    enough_usd = ample_cap(money.cap_usd, money.spent_usd + money.committed_usd + usd)
    wait = ", or wait for midnight UTC" if money.cap == "day" else ""
    return CapReached(
        f"{money.words} leaves no room for fetching this file, which takes {usd_text(usd)}: {money.spent_text}."
        f" Raise it with `blendnet costs --cap-{money.cap} {enough_usd:g}`{wait}, and fetch it again",
        cap=money.cap,
        file_usd=usd,
        enough_usd=enough_usd,
    )
