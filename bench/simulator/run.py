"""One run: submit, measure by the clock, let all agents loose, strike, wait for the end, check."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.simulator import fleet
from bench.simulator.agent import World
from bench.simulator.farm import Farm, Load, running
from bench.simulator.http import Door
from bench.simulator.options import Options
from bench.simulator.pictures import Segments
from bench.simulator.record import Record
from blendnet.celery_app import make_app
from blendnet.errors import ManagerUnreachable, Retryable
from blendnet.security.credentials import AGENT, read_password
from blendnet.settings import get_settings

LOOK_S = 2.0
STRIKE_AT = 0.4
"""The strike comes when so large a share of the chunks is completed."""
HANG_UP_S = 0.5
"""The event loop needs a few turns to close the connections that were cut."""
SETTLE_S = 15.0
"""After the last frame the agents have so long to acknowledge their last messages."""


@dataclass
class Outcome:
    """All that a run found out."""

    options: Options
    submit_s: float
    paced: Record = field(default_factory=Record)
    loaded: Record = field(default_factory=Record)
    loads: list[Load] = field(default_factory=list)
    """One every few seconds while all agents work."""
    struck: int = 0
    wall_s: float = 0.0
    """From the first boot until every frame was completed, or the time was over."""
    generator_cpu_s: float = 0.0
    problems: list[str] = field(default_factory=list)
    redis_left: dict[str, int] = field(default_factory=dict)


def simulate(options: Options) -> Outcome:
    """Do one run on a farm that is started for it and gone afterwards."""
    with running(options) as farm:
        started = time.monotonic()
        farm.submit(options)
        outcome = Outcome(options, time.monotonic() - started)
        asyncio.run(_measure(farm, outcome))
        outcome.problems = farm.problems()
    return outcome


def _world(farm: Farm, options: Options) -> World:
    password = read_password(farm.agent_password_file)
    return World(
        door=Door.make(farm.file.url, Path(farm.file.ca), AGENT, password),
        socket_path=farm.socket_path,
        app=make_app(farm.file.broker_url, get_settings().visibility_timeout_s),
        options=options,
        segments=Segments(),
        random=random.Random(options.seed),
    )


async def _measure(farm: Farm, outcome: Outcome) -> None:
    world = _world(farm, outcome.options)
    if outcome.options.rate:
        # By the clock: agents that wait for nothing.
        quick = dataclasses.replace(outcome.options, render_s=0.0)
        await fleet.paced(dataclasses.replace(world, options=quick, record=outcome.paced))
    world.record = outcome.loaded
    started, cpu_s = time.monotonic(), time.process_time()
    async with fleet.Fleet(world) as agents:
        await _watch(farm, agents, outcome)
    outcome.wall_s = time.monotonic() - started
    outcome.generator_cpu_s = time.process_time() - cpu_s
    outcome.redis_left = await farm.redis_left()
    farm.hang_up()
    await asyncio.sleep(HANG_UP_S)


async def _watch(farm: Farm, agents: fleet.Fleet, outcome: Outcome) -> None:
    """Look every few seconds, strike once, return when all is done or the time is over."""
    options, counts = outcome.options, outcome.loaded.counts
    end = time.monotonic() + options.minutes * 60
    while time.monotonic() < end:
        outcome.loads.append(await farm.load(counts["completed"]))
        agents.check()
        if not outcome.struck and options.strike_share and counts["completed"] >= STRIKE_AT * options.chunks_total:
            outcome.struck = agents.strike(options.strike_share)
        if await _is_done(farm, outcome):
            return await _settle(farm)
        await asyncio.sleep(LOOK_S)


async def _is_done(farm: Farm, outcome: Outcome) -> bool:
    """True when all jobs have ended. Nobody asks while chunks are completed: it would cost the Manager."""
    if len(outcome.loads) > 1 and outcome.loads[-1].completed != outcome.loads[-2].completed:
        return False
    try:
        return all(job.state.final for job in await asyncio.to_thread(farm.jobs))
    except (ManagerUnreachable, Retryable):
        return False  # It has too much to do just now: that is what is measured.


async def _settle(farm: Farm) -> None:
    """Wait until no message is unacknowledged, or only those of the dead are."""
    end = time.monotonic() + SETTLE_S
    while time.monotonic() < end and (await farm.redis_left())["unacked entries"]:
        await asyncio.sleep(0.5)
