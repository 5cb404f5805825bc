"""What goes into Redis: chords of chunks, followed by merge and finish; and a look at what is queued there."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from celery import Celery
from celery.canvas import Signature
from redis.exceptions import ResponseError

from blendnet.celery_app import AGAIN_QUEUE, AGENT_QUEUES, CONTROL_QUEUE, FINISH_QUEUE, RENDER_LANES, render_queue
from blendnet.manager.schedule import ChordFrame, ChunkMessage, Followup, Waiting

QUEUES = (*AGENT_QUEUES, CONTROL_QUEUE)
RENDER_QUEUES = (AGAIN_QUEUE, *(render_queue(lane) for lane in range(RENDER_LANES)))

TAKEN, TAKEN_INDEX = "unacked", "unacked_index"
"""Kombu's keys for messages that workers have taken, and for when they did: of all together, or with `:AGENT`."""
FORGET_AT_ONCE = 1000


class Publisher:
    """Publishes tasks by name and under stable ids: whatever is published twice counts once."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def chord(self, frame: ChordFrame) -> None:
        """Publish a frame: its chunks, then its merge, then its finish.

        Not with `celery.chord`: that keeps a result of every task in this process, and listens for it, for ever.
        """
        group_id = _group_id(frame.frame_id, frame.epoch)
        self._app.backend.set_chord_size(group_id, len(frame.chunks))
        callback = self._callback(frame.frame_id)
        with self._app.producer_or_acquire() as producer:
            for place, chunk in enumerate(frame.chunks):
                task = self._task("render_chunk", chunk, queue=render_queue(frame.lane), task_id=chunk)
                task.apply_async(group_id=group_id, group_index=place, chord=callback, producer=producer)

    def chunk(self, chunk: ChunkMessage) -> None:
        """Publish a chunk again, ahead of others, as the same member of the same chord.

        One outside the chord asks for the merge itself. Whoever asks too early, the chord or the chunk, is told so, and
        the other one asks later.
        """
        task = self._task("render_chunk", chunk.id, queue=AGAIN_QUEUE, task_id=chunk.id)
        if chunk.place < 0:
            task.apply_async(link=self._merge(chunk.frame_id))
            return
        group_id = _group_id(chunk.frame_id, chunk.epoch)
        task.apply_async(group_id=group_id, group_index=chunk.place, chord=self._callback(chunk.frame_id))

    def followup(self, item: Followup) -> None:
        """Publish a merge (with the finish behind it), a finish or a video."""
        tasks = {"merge": self._merge, "finish": self._finish, "encode": self._encode}
        tasks[item.kind](item.id).apply_async()

    def waiting(self, item: Waiting) -> None:
        """Publish whatever was lost."""
        if isinstance(item, ChunkMessage):
            self.chunk(item)
        else:
            self.followup(item)

    def render_backlog(self) -> int:
        """Chunks queued for agents."""
        with self._redis().pipeline(transaction=False) as pipe:
            for queue in RENDER_QUEUES:
                pipe.llen(queue)
            return sum(pipe.execute())

    def queued_ids(self) -> set[str]:
        """Task ids of all messages that lie in a queue."""
        with self._redis().pipeline(transaction=False) as pipe:
            for queue in QUEUES:
                pipe.lrange(queue, 0, -1)
            return set(_ids(message for queue in pipe.execute() for message in queue))

    def forget_taken(self, before: float) -> int:
        """Delete messages that were taken before (seconds since the epoch) and never acknowledged; how many.

        Dead agents leave them, and Redis would keep them: for hours, or for ever under the keys of an agent that never
        returns. Whoever still works on one may: acknowledging what is gone does nothing, and the ledger, not Redis,
        knows what is to be done again.
        """
        redis, count = self._redis(), 0
        for index in list(redis.scan_iter(match=f"{TAKEN_INDEX}*")):
            taken = index.replace(TAKEN_INDEX.encode(), TAKEN.encode(), 1)
            try:
                while old := redis.zrangebyscore(index, "-inf", before, start=0, num=FORGET_AT_ONCE):
                    with redis.pipeline() as pipe:
                        pipe.zrem(index, *old)
                        pipe.hdel(taken, *old)
                        count += pipe.execute()[0]
            except ResponseError as error:
                if "WRONGTYPE" not in str(error):
                    raise
                # An agent has put something else there than kombu does.
                redis.delete(index, taken)
        return count

    def _callback(self, frame_id: str) -> Signature:
        """What follows the last chunk of a frame."""
        callback = self._merge(frame_id)
        callback.freeze(callback.id)
        return callback

    def _merge(self, frame_id: str) -> Signature:
        task_id = merge_id(frame_id)
        return self._task("merge_frame", frame_id, queue=CONTROL_QUEUE, task_id=task_id, link=[self._finish(frame_id)])

    def _finish(self, frame_id: str) -> Signature:
        return self._task("finish_frame", frame_id, queue=FINISH_QUEUE, task_id=finish_id(frame_id))

    def _encode(self, job_id: str) -> Signature:
        return self._task("encode_job", job_id, queue=FINISH_QUEUE, task_id=encode_id(job_id))

    def _task(self, name: str, about: str, **options: Any) -> Signature:
        # By name: the tasks' code belongs to the workers. Nobody asks for results, the ledger has them: kept, they
        # would fill Redis, and this process would listen for each of them for ever.
        options["ignore_result"] = True
        return self._app.signature(f"blendnet.{name}", args=(about,), immutable=True, options=options)

    def _redis(self) -> Any:
        """The client of the backend, which is the broker's Redis."""
        return self._app.backend.client


def merge_id(frame_id: str) -> str:
    """Task id of a frame's merge."""
    return f"{frame_id}.merge"


def finish_id(frame_id: str) -> str:
    """Task id of a frame's finish."""
    return f"{frame_id}.finish"


def encode_id(job_id: str) -> str:
    """Task id of a job's video."""
    return f"{job_id}.encode"


def _group_id(frame_id: str, epoch: int) -> str:
    return f"{frame_id}.e{epoch}"


def _ids(messages: Iterable[bytes]) -> Iterable[str]:
    return (found for found in map(_id, messages) if isinstance(found, str))


def _id(message: bytes) -> object:
    """The task's id; None of what is no message: agents can put anything into the queues."""
    try:
        return json.loads(message)["headers"]["id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
