"""The Celery tasks: thin, idempotent, with ids for arguments. What a task is about is in the ledger, not here.

Results are the same for every run of the same task, so that a chord counts a task once however often it ran. Only
finished work returns a result; anything else leaves the chord waiting, and the ledger publishes the task again.
"""

from __future__ import annotations

import logging
from typing import Any

from billiard.exceptions import WorkerLostError
from celery import Task
from celery.exceptions import Ignore, Reject
from celery.worker.request import Request

from blendnet.agent import finish, render
from blendnet.agent.attempt import Outcome
from blendnet.agent.child import CHILD
from blendnet.agent.vitals import oom_kills
from blendnet.celery_app import app

log = logging.getLogger(__name__)

Result = dict[str, str]

RETRY_DELAY_S = 0
"""After its pool child was killed a task runs again at once (Celery would wait three minutes)."""


@app.task(name="blendnet.render_chunk", bind=True, default_retry_delay=RETRY_DELAY_S)
def render_chunk(self: Any, chunk_id: str) -> Result:
    """Render what is left of a chunk."""
    with CHILD.busy() as slot:
        return _result(render.render_chunk(slot, chunk_id, task=self.request.id or ""), {"chunk": chunk_id})


@app.task(name="blendnet.finish_frame", bind=True, default_retry_delay=RETRY_DELAY_S)
def finish_frame(self: Any, frame_id: str) -> Result:
    """Composite a merged frame."""
    with CHILD.busy() as slot:
        return _result(finish.finish_frame(slot, frame_id, task=self.request.id or ""), {"frame": frame_id})


@app.task(name="blendnet.encode_job", bind=True, default_retry_delay=RETRY_DELAY_S)
def encode_job(self: Any, job_id: str) -> Result:
    """Make the video of a job."""
    with CHILD.busy() as slot:
        return _result(finish.encode_job(slot, job_id, task=self.request.id or ""), {"job": job_id})


class MergeRequest(Request):
    """A merge as the control worker's main process sees it: when the process that merges dies, that counts."""

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        self._oom_kills = oom_kills()
        super().on_accepted(pid, time_accepted)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        error = exc_info.exception
        if isinstance(getattr(error, "exc", error), WorkerLostError):
            self._note_end(f"the process that merged it ended: {error}")
        return super().on_failure(exc_info, send_failed_event, return_ok)

    def _note_end(self, message: str) -> None:
        from blendnet.manager import merging

        starved = oom_kills() > getattr(self, "_oom_kills", oom_kills())
        try:
            merging.merge_process_ended(self.args[0], message, kind="memory" if starved else "crash")
        except Exception:
            log.exception("the end of the merge of frame %s was not written down", self.args[0])


class MergeTask(Task):
    """A task whose requests are MergeRequests."""

    Request = MergeRequest


@app.task(name="blendnet.merge_frame", base=MergeTask, default_retry_delay=RETRY_DELAY_S)
def merge_frame(frame_id: str) -> Result:
    """Merge the segments of a frame: in the Manager's control worker, where they are."""
    from blendnet.manager import merging

    merging.merge_frame(frame_id)
    return {"frame": frame_id}


def _result(outcome: Outcome, result: Result) -> Result:
    """The task's result. Raises Ignore or Reject when there is none (yet)."""
    if outcome is Outcome.INTERRUPTED:
        raise Reject("this agent ends", requeue=True)
    if outcome is Outcome.DROPPED:
        raise Ignore
    return result
