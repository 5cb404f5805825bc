"""The contract of everybody who gives machines for agents. What a farm needs of them is decided elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Instance:
    """One agent's machine, or process on this machine."""

    name: str
    """Name of the agent on it."""
    state: str
    """'starting', 'running' or 'gone'."""
    pid: int | None = None
    """Process id, for agents on this machine."""


class Provider(Protocol):
    """Creates and destroys instances. Every call may be repeated without harm."""

    def create(self, names: Sequence[str]) -> Sequence[Instance]:
        """Start one agent under each name; a name that runs already is left alone.

        Raises:
            FarmError: an instance could not be started; those started before stay.
        """
        ...

    def list(self) -> Sequence[Instance]:
        """All instances there are now, whoever created them."""
        ...

    def destroy(self, names: Sequence[str]) -> None:
        """End instances and return when they are gone; names that do not exist are ignored."""
        ...

    def interrupt(self, name: str, left_s: float | None) -> None:
        """Announce to an instance that it is taken back in `left_s` (None: as usual), as its cloud would.

        Raises:
            FarmError: it cannot be told.
        """
        ...


def free_names(taken: Sequence[str], count: int, prefix: str = "agent") -> Sequence[str]:
    """The first `count` of agent-1, agent-2, ... that nobody has."""
    names: list[str] = []
    used, number = set(taken), 0
    while len(names) < count:
        number += 1
        if (name := f"{prefix}-{number}") not in used:
            names.append(name)
    return names
