"""Lets the farm look after money in time, whatever else the Manager waits for."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from blendnet.manager.background import Background
from blendnet.manager.jobs import Farm

log = logging.getLogger(__name__)


class Bookkeeper(Background):
    """Calls `Farm.look`, in a thread of its own: a store with many files, or a Redis that is silent, takes longer than
    caps may wait (commitments.LATE_S)."""

    def __init__(self, farm: Farm, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__("money")
        self._farm = farm
        self._clock = clock

    def start(self) -> None:
        """Look once, so that what begins now finds what caps allow, and go on every `reconcile_interval_s`."""
        self._look()
        super().start()

    def _run(self) -> None:
        while not self._stopping.wait(self._farm.settings.reconcile_interval_s):
            self._look()

    def _look(self) -> None:
        try:
            self._farm.look(self._clock())
        except Exception:
            # Whatever it was, as a full disk: money is looked after as soon as that goes.
            log.exception("while money is looked after")
