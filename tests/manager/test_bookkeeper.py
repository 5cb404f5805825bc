"""Money is looked after in time, whatever else happens."""

from __future__ import annotations

import threading

import pytest

from blendnet.errors import FarmError
from blendnet.manager.bookkeeper import Bookkeeper
from tests.manager.farms import Kit


def test_it_looks_at_once_and_again_and_goes_on_after_trouble(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    third = threading.Event()
    real = kit.farm.look

    def look(now: float) -> None:
        looks.append(now)
        if len(looks) == 2:
            raise FarmError("no room")
        real(now)
        if len(looks) == 3:
            third.set()

    monkeypatch.setattr(kit.farm, "look", look)
    often = kit.farm.settings.model_copy(update={"reconcile_interval_s": 0.01})
    monkeypatch.setattr(kit.farm, "settings", often)
    keeper = Bookkeeper(kit.farm, clock=lambda: kit.now)
    keeper.start()
    assert looks
    assert third.wait(10)
    keeper.stop()
    assert kit.farm.work.looked_at == kit.now
    assert not keeper._thread.is_alive()
