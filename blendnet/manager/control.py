"""The control worker: a Celery worker of the queue `control`, beside the store, which merges frames."""

from __future__ import annotations

import importlib
import os
import signal
import threading
from types import FrameType

from celery.signals import worker_process_init, worker_ready
from celery.worker import state

from blendnet.celery_app import CONTROL_QUEUE, app
from blendnet.manager.guard import tie_to_parent
from blendnet.settings import get_settings

WORKER_NAME = "control@%h"
MERGING_MODULE = "blendnet.manager.merging"
CHILD_MEMORY_KIB = 1 << 20
CHILD_MERGES = 500
"""The process that merges is renewed after so many merges, or above so much memory: OpenEXR's row reader loses a little
per call."""


@worker_process_init.connect
def _begin_child(**_: object) -> None:
    tie_to_parent(os.getppid())
    # The first merge would wait a second for it. In a thread: Celery gives a new child little time.
    threading.Thread(target=importlib.import_module, args=(MERGING_MODULE,), daemon=True).start()


@worker_ready.connect
def _end_at_once_when_idle(**_: object) -> None:
    """Celery takes seconds to end even when nothing runs; a running merge may end in peace."""
    patient = signal.getsignal(signal.SIGTERM)

    def end(number: int, frame: FrameType | None) -> None:
        if not state.active_requests:
            os._exit(0)
        if callable(patient):
            patient(number, frame)

    signal.signal(signal.SIGTERM, end)


def main() -> None:
    """Run the worker until it is told to end."""
    app.worker_main(
        [
            "worker",
            *("--queues", CONTROL_QUEUE),
            *("--hostname", WORKER_NAME),
            *("--loglevel", get_settings().log_level),
            *("--max-memory-per-child", str(CHILD_MEMORY_KIB)),
            *("--max-tasks-per-child", str(CHILD_MERGES)),
            "--without-gossip",
            "--without-mingle",
        ]
    )


if __name__ == "__main__":
    main()
