"""The control worker: a Celery worker of the queue `control`, beside the store, which merges frames."""

from __future__ import annotations

import os

from celery.signals import worker_process_init

from blendnet.celery_app import CONTROL_QUEUE, app
from blendnet.manager.guard import tie_to_parent
from blendnet.settings import get_settings

WORKER_NAME = "control@%h"


@worker_process_init.connect
def _end_with_worker(**_: object) -> None:
    tie_to_parent(os.getppid())


def main() -> None:
    """Run the worker until it is told to end."""
    app.worker_main(
        [
            "worker",
            *("--queues", CONTROL_QUEUE),
            *("--hostname", WORKER_NAME),
            *("--loglevel", get_settings().log_level),
            "--without-gossip",
            "--without-mingle",
        ]
    )


if __name__ == "__main__":
    main()
