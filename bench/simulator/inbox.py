"""What a Celery worker does with Redis, in asyncio: take a message, note it as not acknowledged, store its result.

The commands are those of kombu's transport (kombu/transport/redis.py: _brpop_start, QoS) and of Celery's backend
(celery/backends/redis.py: _set, on_chord_part_return); the callback of a complete chord is published by Celery itself.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
import uuid
from dataclasses import dataclass
from typing import Any

from celery import Celery
from celery.backends.redis import CHORD_CLEANUP_LUA, CHORD_PART_RETURN_LUA
from celery.canvas import maybe_signature

from bench.simulator.redis_wire import RedisWire

CHORD_CLAIM_S = 10
CHORD_DONE_S = 300
POLL_S = 1
"""kombu's BRPOP waits so long before it asks again."""
PRIORITY_STEPS = (0, 3, 6, 9)
PRIORITY_SEPARATOR = "\x06\x16"


@dataclass(frozen=True)
class Message:
    """A task from a queue."""

    raw: dict[str, Any]
    headers: dict[str, Any]
    args: list[Any]
    chord: dict[str, Any] | None
    queue: str
    tag: str

    @property
    def task(self) -> str:
        """Name of the task, without the application's."""
        return self.headers["task"].removeprefix("blendnet.")

    @property
    def id(self) -> str:
        """The task's id."""
        return self.headers["id"]


class Inbox:
    """The queues of one worker, over a connection of its own."""

    def __init__(self, wire: RedisWire, app: Celery, queues: tuple[str, ...]) -> None:
        self._wire = wire
        self._app = app
        self._queues = list(queues)

    async def take(self) -> Message | None:
        """The next message, noted as not acknowledged; None when there is none for a second."""
        keys = [_list_of(queue, priority) for priority in PRIORITY_STEPS for queue in self._queues]
        found = await self._wire.call("BRPOP", *keys, POLL_S)
        if found is None:
            return None
        queue = found[0].decode().rsplit(PRIORITY_SEPARATOR, 1)[0]
        # Round robin: the queue that gave something is asked last from now on.
        self._queues.append(self._queues.pop(self._queues.index(queue)))
        message = _parsed(json.loads(found[1]), queue)
        note = json.dumps([message.raw, message.raw["properties"]["delivery_info"]["exchange"], queue])
        await self._wire.transaction(
            ("ZADD", "unacked_index", time.time(), message.tag), ("HSET", "unacked", message.tag, note)
        )
        return message

    async def acknowledge(self, message: Message) -> None:
        """The message is dealt with."""
        await self._wire.transaction(("ZREM", "unacked_index", message.tag), ("HDEL", "unacked", message.tag))

    async def give_back(self, message: Message) -> None:
        """Another worker is to take the message, as after a task that raised Reject."""
        queue = _list_of(message.queue, message.raw["properties"].get("priority", 0))
        await self._wire.transaction(
            ("ZREM", "unacked_index", message.tag),
            ("HDEL", "unacked", message.tag),
            ("LPUSH", queue, json.dumps(message.raw)),
        )

    async def succeed(self, message: Message, result: dict[str, str]) -> None:
        """Store the task's result and count it in its chord; the last one of a chord publishes what follows."""
        if not message.headers.get("ignore_result"):
            await self._store(message, result)
        if message.chord is not None:
            await self._count(message, result)

    async def _store(self, message: Message, result: dict[str, str]) -> None:
        backend = self._app.backend
        key = backend.get_key_for_task(message.id)
        meta = {"status": "SUCCESS", "result": result, "traceback": None, "children": [], "task_id": message.id}
        if await self._wire.call("GET", key) is None:
            value = json.dumps(meta)
            await self._wire.transaction(("SETEX", key, int(backend.expires), value), ("PUBLISH", key, value))

    async def _count(self, message: Message, result: dict[str, str]) -> None:
        backend, group = self._app.backend, message.headers["group"]
        j, t, s, d, c = (backend.get_key_for_group(group, f".{letter}") for letter in "jtsdc")
        part, claim = json.dumps([1, message.id, "SUCCESS", result]), uuid.uuid4().hex
        expires = int(backend.chord_expires or 0)
        ready, _, _, claimed = await self._wire.call(
            *("EVAL", CHORD_PART_RETURN_LUA, 6, j, t, s, d, backend.get_key_for_group(group), c),
            *(message.id, part, 1, message.headers["group_index"], expires, expires, CHORD_CLAIM_S, claim),
        )
        if ready == -1 or not claimed:
            return
        callback = maybe_signature(message.chord, app=self._app)
        await asyncio.to_thread(callback.delay, [])
        await self._wire.call("EVAL", CHORD_CLEANUP_LUA, 5, c, j, t, s, d, claim, CHORD_DONE_S)


def _list_of(queue: str, priority: int) -> str:
    """Name of the Redis list that holds a queue's messages of a priority."""
    step = max(step for step in PRIORITY_STEPS if step <= priority)
    return f"{queue}{PRIORITY_SEPARATOR}{step}" if step else queue


def _parsed(raw: dict[str, Any], queue: str) -> Message:
    args, _, embedded = json.loads(base64.b64decode(raw["body"]))
    return Message(
        raw=raw,
        headers=raw["headers"],
        args=args,
        chord=embedded["chord"],
        queue=queue,
        tag=raw["properties"]["delivery_tag"],
    )
