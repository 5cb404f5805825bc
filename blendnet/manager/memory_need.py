"""Whether agents can hold a scene, by what it took before, as a sentence for who sends it. PURE but for the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from blendnet import memory
from blendnet.manager.ledger import AgentRow, MeasureRow, Transaction
from blendnet.manager.ledger.agents import AWAY

NAMED = 5
"""Agents that a note names at most."""


@dataclass(frozen=True)
class Need:
    """How much memory a scene takes, and who says so."""

    used_bytes: int
    """Most that Blender held."""
    source: str
    """'in a probe', 'in job 4nxq...'."""


def need_of(rows: Sequence[MeasureRow]) -> Need | None:
    """What is known of a scene's memory; None: nothing."""
    known = [row for row in rows if row.peak_memory_bytes]
    row = max(known, key=lambda row: row.peak_memory_bytes or 0, default=None)
    if row is None or row.peak_memory_bytes is None:
        return None
    return Need(row.peak_memory_bytes, "in a probe" if row.probe else f"in job {row.job_id}")


def memory_notes(need: Need | None, agents: Sequence[AgentRow]) -> list[str]:
    """A sentence when agents that are there cannot hold the scene; none of agents that do not tell their memory."""
    there = [agent for agent in agents if agent.state not in AWAY]
    rooms = {agent.name: agent.render_memory_bytes for agent in there if agent.render_memory_bytes is not None}
    if need is None:
        return []
    small = [name for name, room in rooms.items() if room < need.used_bytes]
    if not small:
        return []
    took = f"Blender took {memory.text(need.used_bytes)} of memory for this scene {need.source}"
    if len(small) < len(there):
        return [f"{took}: {_named(small, rooms)} cannot hold it"]
    sizes = sorted({room: memory.text(room) for room in rooms.values()}.items())
    texts = list(dict.fromkeys(text for _, text in sizes))
    return [f"{took}, and may take {_listed(texts)} on the agents that are there: none can hold it"]


def scene_notes(tx: Transaction, tree: str, path: str) -> list[str]:
    """The notes on a scene with these files, else on what lay at that path before."""
    return memory_notes(need_of(tx.measures.of_scene(tree, path)), tx.agents.all())


def _named(names: Sequence[str], rooms: dict[str, int]) -> str:
    shown = [f"{name} ({memory.text(rooms[name])})" for name in names[:NAMED]]
    more = len(names) - len(shown)
    return _listed([*shown, *([f"{more} more"] if more else [])])


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
