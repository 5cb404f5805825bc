"""Many agents: they boot, live as long as preemptible machines do, die, are replaced. Or they work by the clock."""

from __future__ import annotations

import asyncio
import contextlib
import time

from bench.simulator.agent import Agent, World
from bench.simulator.inbox import Message

BOOTS_PER_S = 50.0
"""A provider does not start all machines in the same instant."""
POOL = 40
"""Agents that serve the open-loop measurement."""
CALLS_PER_SESSION = 3
"""Claim, commit, done."""


class Fleet:
    """Agents in slots: when one dies, another boots in its slot. A context manager that ends them all."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._living: dict[int, tuple[Agent, asyncio.Task[None]]] = {}
        self._slots: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Fleet:
        self._slots = [asyncio.create_task(self._keep(n)) for n in range(self._world.options.agents)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for slot in self._slots:
            slot.cancel()
        ended = await asyncio.gather(*self._slots, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    def check(self) -> None:
        """Raise what ended a slot, if anything did."""
        for slot in self._slots:
            if slot.done():
                slot.result()

    def strike(self, share: float) -> int:
        """So many agents die at once, without notice; how many."""
        struck = self._world.random.sample(sorted(self._living), round(share * len(self._living)))
        for slot in struck:
            agent, task = self._living[slot]
            if agent.chunk_id is not None:
                self._world.record.struck(agent.chunk_id)
            task.cancel()
        return len(struck)

    async def _keep(self, slot: int) -> None:
        """Agents of a slot, one after the other."""
        await asyncio.sleep(slot / BOOTS_PER_S)
        generation = 0
        while True:
            generation += 1
            await self._live(slot, Agent(f"sim-{slot}-{generation}", self._world))
            await asyncio.sleep(self._world.options.boot_s)

    async def _live(self, slot: int, agent: Agent) -> None:
        """One life: until it is over, or a strike ends it."""
        task = asyncio.create_task(agent.run())
        self._living[slot] = agent, task
        try:
            await asyncio.wait([task], timeout=self._lifetime_s())
            if not task.done() and self._world.random.random() < self._world.options.notice_share:
                agent.leaving.set()
                await asyncio.wait([task])
        finally:
            del self._living[slot]
            died = not task.done() or task.cancelled()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._world.record.counts["died"] += died

    def _lifetime_s(self) -> float | None:
        mean = self._world.options.lifetime_s
        return self._world.random.expovariate(1 / mean) if mean else None


async def paced(world: World) -> None:
    """Sessions of claim, commit and done that begin by the clock (Poisson), however long the answers take.

    Latencies count from the planned time, so that a slow Manager cannot hide its slowness by slowing its clients.
    """
    options = world.options
    sessions_per_s = (options.rate - POOL / options.report_s) / CALLS_PER_SESSION
    agents = [Agent(f"paced-{n}", world) for n in range(POOL)]
    reporting = [asyncio.create_task(agent.keep_reporting()) for agent in agents]
    ready: asyncio.Queue[tuple[Agent, Message]] = asyncio.Queue()
    sessions = {asyncio.create_task(_fetch(agent, ready)) for agent in agents}
    try:
        agent, message = await ready.get()  # The first message starts the clock.
        due_at = time.monotonic()
        end = due_at + options.rate_s
        while due_at < end:
            sessions.add(asyncio.create_task(_session(agent, message, due_at, ready)))
            due_at += world.random.expovariate(sessions_per_s)
            await asyncio.sleep(due_at - time.monotonic())
            agent, message = await ready.get()
        await agent.inbox.give_back(message)
        await _drain(ready, sessions)
    finally:
        for task in (*reporting, *sessions):
            task.cancel()
        await asyncio.gather(*reporting, *sessions, return_exceptions=True)
    for agent in agents:
        await agent.say_goodbye()
        agent.vanish()


async def _fetch(agent: Agent, ready: asyncio.Queue[tuple[Agent, Message]]) -> None:
    """Have a message at hand, so that its claim can be sent at the very time it is due."""
    while (message := await agent.inbox.take()) is None:
        continue
    await ready.put((agent, message))


async def _session(
    agent: Agent, message: Message, due_at: float | None, ready: asyncio.Queue[tuple[Agent, Message]]
) -> None:
    await agent.handle(message, due_at=due_at)
    await _fetch(agent, ready)


async def _drain(ready: asyncio.Queue[tuple[Agent, Message]], sessions: set[asyncio.Task[None]]) -> None:
    """Give back the messages that wait for a session. Sessions under way get a moment."""
    await asyncio.wait(sessions, timeout=1.0)
    for session in sessions:
        if session.done():
            session.result()
    while not ready.empty():
        agent, message = ready.get_nowait()
        await agent.inbox.give_back(message)
