"""Workers outlive a Redis that is there and refuses to write, as it does while its disk is full."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from blendnet.models import State
from tests.manager.brokers import Broker, dispatcher, playing_worker, reconciler, wait_for
from tests.manager.farms import Kit


@contextmanager
def refusing_to_write(broker: Broker) -> Iterator[None]:
    """A Redis that cannot save what it holds, and so refuses every command that would change it."""
    in_the_way = Path(broker.client.config_get("dir")["dir"]) / "dump.rdb"
    (in_the_way / "full").mkdir(parents=True)
    broker.client.config_set("save", "3600 1")
    try:
        broker.client.bgsave()
        yield
    finally:
        broker.client.config_set("save", "")
        shutil.rmtree(in_the_way)


def completed(kit: Kit, broker: Broker) -> None:
    """Submit a job and see it through."""
    job = kit.submit(frames=[1])
    parts = dispatcher(kit, broker), reconciler(kit, broker)
    wait_for(lambda: kit.farm.job(job.id).state is State.COMPLETED, kit, *(part.tick for part in parts))


@pytest.mark.thorough
def test_worker_works_on_when_redis_refused_to_write_for_a_while(live_kit: Kit, broker: Broker) -> None:
    log = live_kit.folder / "worker.log"
    with playing_worker(live_kit, broker.url):
        completed(live_kit, broker)
        with refusing_to_write(broker):
            wait_for(lambda: "MISCONF" in log.read_text("utf-8"), live_kit)
        completed(live_kit, broker)
