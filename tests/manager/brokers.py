"""A real Redis and real Celery workers for tests of what is published."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from celery import Celery

from blendnet.celery_app import make_app
from blendnet.manager import broker
from blendnet.manager.dispatch import Dispatcher
from blendnet.manager.folder import runtime_folder
from blendnet.manager.publish import QUEUES
from blendnet.manager.reconcile import Reconciler
from tests.manager.farms import Kit

DEADLINE_S = 60.0
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Broker:
    """A running Redis with nothing in it."""

    url: str
    app: Celery
    client: redis.Redis

    def queued(self) -> dict[str, int]:
        """Messages in the queues that are not empty."""
        lengths = {queue: self.client.llen(queue) for queue in QUEUES}
        return {queue: length for queue, length in lengths.items() if length}

    def lose_messages(self) -> None:
        """Drop all messages; chords stay."""
        self.client.delete(*QUEUES)

    def lose_everything(self) -> None:
        """Come back empty."""
        self.client.flushall()


@contextmanager
def running_broker() -> Iterator[Broker]:
    """A Redis on a private socket that ends with the block."""
    with runtime_folder() as folder:
        path = folder / broker.SOCKET_NAME
        command = broker.server_command(broker.find_server(), socket_path=path, folder=folder)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                assert broker.wait_until_ready(path, alive=lambda: process.poll() is None)
                url = broker.broker_url(path)
                with redis.Redis(unix_socket_path=str(path)) as client:
                    app = make_app(url, 3600)
                    yield Broker(url, app, client)
                    app.close()
            finally:
                process.terminate()


@contextmanager
def playing_worker(kit: Kit, url: str) -> Iterator[None]:
    """A worker that renders, merges and finishes by claiming from the ledger of a `live_kit`; ends with the block."""
    command = [sys.executable, "-m", "tests.manager.player", str(kit.folder), url]
    environment = {**os.environ, "BLENDNET_CHORD_GRACE_S": str(kit.farm.settings.chord_grace_s)}
    with (kit.folder / "worker.log").open("wb") as log:
        with subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, env=environment) as process:
            try:
                yield
            finally:
                process.terminate()


def runs(kit: Kit) -> list[str]:
    """What workers ran: 'render CHUNK', 'merge FRAME', 'finish FRAME'."""
    path = kit.folder / "runs"
    return path.read_text("utf-8").splitlines() if path.exists() else []


def wait_for(condition: Callable[[], object], kit: Kit, *ticks: Callable[[float], object]) -> None:
    """Let `ticks` work until the condition holds; fail with the worker's log after a while."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        for tick in ticks:
            tick(time.time())
        assert time.monotonic() < deadline, (kit.folder / "worker.log").read_text("utf-8")[-5000:]
        time.sleep(0.02)


def dispatcher(kit: Kit, broker: Broker) -> Dispatcher:
    return Dispatcher(kit.farm, broker.app, kit.farm.settings)


def reconciler(kit: Kit, broker: Broker) -> Reconciler:
    return Reconciler(kit.farm, broker.app, kit.farm.settings)
