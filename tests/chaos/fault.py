"""What every fault has in common: how it is chosen, done and undone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, TypeVar

from tests.chaos.farm import ChaosFarm

T = TypeVar("T")


class NothingToHit(Exception):
    """The victim is not there now: dead already, or not started yet."""


class Fault(ABC):
    """One fault: made, done once, undone once if it lasts."""

    kind: ClassVar[str]
    lasts: ClassVar[bool] = False
    """It has to be undone."""
    measured: ClassVar[bool] = True
    """There is something whose recovery can be seen."""

    def __init__(self, farm: ChaosFarm, pick: float) -> None:
        """`pick` in [0, 1) chooses among victims and variants."""
        self.farm = farm
        self.pick = pick
        self.agents: tuple[str, ...] = ()
        """Whose work is hit."""
        self.what = ""
        """What exactly was done, in words."""

    @classmethod
    def why_not(cls, farm: ChaosFarm) -> str:
        """Why this kind is impossible here; '' when it is possible."""
        return ""

    @abstractmethod
    def do(self, busy: Sequence[str]) -> None:
        """Do it; `busy`: agents that hold work, who are hit first. Raises NothingToHit."""

    def undo(self) -> None:  # noqa: B027 - most faults are over once they are done
        """Take it back."""

    def struck(self) -> bool:
        """True once what was done has had its effect; most faults have it at once."""
        return True

    def answers(self) -> bool:
        """True when the service that was hit answers again."""
        return True

    def choose(self, choices: Sequence[T]) -> T:
        """The choice that `pick` means. Raises NothingToHit."""
        if not choices:
            raise NothingToHit
        return choices[int(self.pick * len(choices))]

    def variant(self, choices: Sequence[T]) -> T:
        """Another choice, independent of the victim."""
        return choices[int(self.pick * 7919) % len(choices)]

    def agent(self, busy: Sequence[str]) -> str:
        """An agent to hit: a busy one when there is one."""
        name = self.choose(busy or self.farm.names)
        self.agents = (name,)
        self.what = name
        return name
