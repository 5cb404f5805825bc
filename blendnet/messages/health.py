"""What a check of a farm found."""

from __future__ import annotations

import enum

from blendnet.messages.base import Message


class Health(str, enum.Enum):
    """How serious a check's result is."""

    OK = "ok"
    """Nothing is wrong."""
    WARNING = "warning"
    """Nothing is lost, but somebody should know."""
    PROBLEM = "problem"
    """Something is wrong; `repaired` says whether it still is."""


class Check(Message):
    """One thing that was looked at."""

    name: str
    state: Health
    text: str
    """What was found, for people."""
    repaired: bool = False
    """The problem was dealt with: what is lost is being made again."""


class DoctorReport(Message):
    """All checks of a farm."""

    checks: list[Check]

    @property
    def well(self) -> bool:
        """True when nothing is wrong any more."""
        return all(check.state is not Health.PROBLEM or check.repaired for check in self.checks)
