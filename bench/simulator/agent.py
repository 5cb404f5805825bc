"""A simulated agent: takes messages as a Celery worker does, speaks the agents' API, waits where it would render."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from celery import Celery

from bench.simulator.http import Caller, ConnectionCut, Door, Refused
from bench.simulator.inbox import Inbox, Message
from bench.simulator.options import Options
from bench.simulator.pictures import PNG, Segments
from bench.simulator.record import Record
from bench.simulator.redis_wire import RedisCut, RedisWire
from blendnet.celery_app import AGENT_QUEUES

HEARTBEATS_PER_LEASE = 3
RETRY_S = 0.5
LEASE_LOST = 409
SERVER_ERROR = 500
NOTICE_S = 2.0
"""An agent that is told to go waits for a queue no longer than this."""


class LeaseGone(Exception):
    """The Manager gave the work to somebody else."""


@dataclass
class World:
    """What all agents share."""

    door: Door
    socket_path: str
    app: Celery
    options: Options
    segments: Segments
    random: random.Random
    record: Record = field(default_factory=Record)


class Agent:
    """One agent, from its first report to its death."""

    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self.leaving = asyncio.Event()
        """Set by a notice: give back what is held, and go."""
        self.chunk_id: str | None = None
        """The chunk being rendered."""
        self._world = world
        self._caller, self._reports = Caller(world.door), Caller(world.door)
        self._wire = RedisWire(world.socket_path)
        self.inbox = Inbox(self._wire, world.app, AGENT_QUEUES)
        self._state = "idle"
        self._speed = world.random.uniform(0.67, 1.33)

    async def run(self) -> None:
        """Work until told to leave. Cancelled: the machine is gone, in the middle of whatever it did."""
        reporting = asyncio.create_task(self.keep_reporting())
        try:
            while not self.leaving.is_set():
                await self._turn()
            reporting.cancel()
            await self.say_goodbye()
        finally:
            reporting.cancel()
            self.vanish()

    def vanish(self) -> None:
        """Cut all connections without a word."""
        for connection in (self._caller, self._reports, self._wire):
            connection.cut()

    async def keep_reporting(self) -> None:
        """Say every few seconds that this agent is there."""
        while True:
            answer = await self._patiently(self._report)
            await asyncio.sleep(answer.get("report_s") or self._world.options.report_s)

    async def say_goodbye(self) -> None:
        """The last report."""
        self._state = "stopped"
        await self._patiently(self._report)
        self._world.record.counts["left"] += 1

    async def _turn(self) -> None:
        try:
            message = await self.inbox.take()
            if message is not None:
                await self.handle(message)
        except RedisCut:
            self._world.record.counts["redis retries"] += 1
            await asyncio.sleep(RETRY_S)

    async def handle(self, message: Message, *, due_at: float | None = None) -> None:
        """Do what a message asks for, as blendnet.tasks does it. `due_at`: when a planned claim was to be sent."""
        work = {"render_chunk": self._render_chunk, "finish_frame": self._finish_frame}[message.task]
        self._state = "busy"
        try:
            result = await work(message, due_at)
        except LeaseGone:
            self._world.record.counts["fenced"] += 1
            result = None
        finally:
            self._state, self.chunk_id = "idle", None
        if result is not None:
            await self.inbox.succeed(message, result)
        if result is None and self.leaving.is_set():
            await self.inbox.give_back(message)
        else:
            await self.inbox.acknowledge(message)

    async def _render_chunk(self, message: Message, due_at: float | None) -> dict[str, str] | None:
        chunk_id = message.args[0]
        path = f"/v1/chunks/{chunk_id}"
        claim = await self._post("claim", f"{path}/claim", {"agent": self.name, "task": message.id}, due_at)
        if claim["state"] != "render":
            self._world.record.counts[f"claim {claim['state']}"] += 1
            return {"chunk": chunk_id} if claim["state"] == "done" else None
        self.chunk_id = chunk_id
        self._world.record.claimed(chunk_id)
        rendered, started = 0, time.monotonic()
        for offset, count in claim["left"]:
            done = await self._render(path, claim, count, rendered)
            if done:
                await self._commit(path, claim["token"], offset, done)
            rendered += done
            if done < count:
                await self._give_back(path, claim["token"])
                return None
        self.chunk_id = None  # All is committed: if this agent dies now, nobody has to render it again.
        report = {"token": claim["token"], "render_s": time.monotonic() - started, "samples": rendered}
        await self._post("done", f"{path}/done", report)
        self._world.record.counts["completed"] += 1
        return {"chunk": chunk_id}

    async def _render(self, path: str, claim: dict[str, Any], count: int, before: int) -> int:
        """Wait as long as `count` samples take, with heartbeats; the samples done: fewer when a notice came."""
        options = self._world.options
        sample_s = options.render_s * self._speed / max(1, claim["samples"] / options.chunks_per_frame)
        started, beat_s = time.monotonic(), claim["lease_s"] / HEARTBEATS_PER_LEASE
        left_s = 0.0
        try:
            while (left_s := started + count * sample_s - time.monotonic()) > 0 and not self.leaving.is_set():
                await self._wait(min(left_s, beat_s))
                if left_s > beat_s:
                    body = {"token": claim["token"], "done": before + int((time.monotonic() - started) / sample_s)}
                    await self._post("heartbeat", f"{path}/heartbeat", body)
        finally:  # What an agent rendered and took along into its death counts, too.
            done = count if left_s <= 0 else min(count, int((time.monotonic() - started) / sample_s))
            self._world.record.samples_rendered += done
        return done

    async def _wait(self, seconds: float) -> None:
        """Wait, or until a notice comes."""
        try:
            async with asyncio.timeout(seconds):
                await self.leaving.wait()
        except TimeoutError:
            return

    async def _commit(self, path: str, token: int, offset: int, count: int) -> None:
        data, sha256 = self._world.segments.make(self._world.random.getrandbits(50))
        where = f"{path}/segments?token={token}&offset={offset}&count={count}&sha256={sha256}"
        await self._timed("commit", lambda: self._caller.put(where, data))

    async def _give_back(self, path: str, token: int) -> None:
        body = {"token": token, "kind": "interrupted", "message": "this agent ends"}
        await self._post("failed", f"{path}/failed", body)

    async def _finish_frame(self, message: Message, _: float | None) -> dict[str, str] | None:
        frame_id = message.args[0]
        path = f"/v1/frames/{frame_id}"
        claim = await self._post("finish claim", f"{path}/finish/claim", {"agent": self.name, "task": message.id})
        if claim["state"] != "finish":
            return {"frame": frame_id} if claim["state"] == "done" else None
        query = f"token={claim['token']}&kind=image&path={claim['frame']:06d}.png"
        picture = PNG + frame_id.encode()
        await self._timed("result", lambda: self._caller.put(f"{path}/results?{query}", picture))
        await self._post("finish done", f"{path}/finish/done", {"token": claim["token"]})
        self._world.record.counts["finished"] += 1
        return {"frame": frame_id}

    async def _report(self) -> dict[str, Any]:
        body = {"host": "simulator", "pid": 1, "state": self._state, "blenders": ["4.5.15"], "devices": ["CPU"]}
        return await self._answer("report", lambda: self._reports.post(f"/v1/agents/{self.name}/report", body))

    async def _post(self, call: str, path: str, body: dict[str, Any], due_at: float | None = None) -> dict[str, Any]:
        return await self._timed(call, lambda: self._caller.post(path, body), due_at)

    async def _timed(
        self, call: str, send: Callable[[], Awaitable[dict[str, Any]]], due_at: float | None = None
    ) -> dict[str, Any]:
        return await self._patiently(lambda: self._answer(call, send, due_at))

    async def _answer(
        self, call: str, send: Callable[[], Awaitable[dict[str, Any]]], due_at: float | None = None
    ) -> dict[str, Any]:
        started = time.monotonic() if due_at is None else due_at
        answer = await send()
        self._world.record.answered(call, time.monotonic() - started)
        return answer

    async def _patiently(self, send: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        """Try until the Manager answers. Raises LeaseGone, or Refused when a request is wrong."""
        while True:
            try:
                return await send()
            except ConnectionCut:
                self._world.record.counts["retries"] += 1
            except Refused as error:
                if error.status == LEASE_LOST:
                    raise LeaseGone from error
                if error.status < SERVER_ERROR:
                    raise
                self._world.record.counts["refused for now"] += 1
            await asyncio.sleep(RETRY_S)
