"""An agent's worker that writes down every sample its Blender renders, also those that nobody ever gets.

python -m tests.chaos.counted_agent, with the environment of an agent; the count goes to $CHAOS_SAMPLES.
"""

from __future__ import annotations

import os
import select
import time
from pathlib import Path
from typing import Any

if "LD_PRELOAD" in os.environ:
    # libfaketime 0.9.10 fakes the deadline of sleeps on the monotonic clock although told not to. Before others import
    # what is replaced.
    time.sleep = lambda seconds: select.select((), (), (), seconds) and None

from blendnet.agent import worker
from blendnet.agent.warm import WarmScene

SAMPLES_VARIABLE = "CHAOS_SAMPLES"
_render = WarmScene.render


def counted_render(self: WarmScene, *, count: int, on_event: Any = None, **arguments: Any) -> Any:
    """WarmScene.render; each line written is one more sample count that was reached."""
    reached = 0

    def reach(samples: int) -> None:
        nonlocal reached
        if samples > reached:
            _write(samples - reached)
            reached = samples

    def note(event: Any) -> None:
        if event.get("event") == "samples":
            reach(int(event["done"]))
        if on_event is not None:
            on_event(event)

    answer = _render(self, count=count, on_event=note, **arguments)
    reach(count)
    return answer


def _write(samples: int) -> None:
    # One write of one short line: it is there whole or not at all, whenever this process is killed.
    file = os.open(os.environ[SAMPLES_VARIABLE], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(file, b"%d\n" % samples)
    finally:
        os.close(file)


def samples_in(path: Path) -> int:
    """Samples written down in a file so far."""
    return sum(int(line) for line in path.read_text().split()) if path.exists() else 0


if __name__ == "__main__":
    WarmScene.render = counted_render  # type: ignore[method-assign]
    worker.main()
