"""The slow tail: one frame on two agents, one of them four times slower, with and without chunks divided in the end.

Each agent has a core of its own and a Blender with one thread. The slow one's Blender is stopped for three quarters
of the time (throttle.py). The ideal is the time in which both agents, as fast as each was in that very run, render all
samples and end at the same moment; the makespan goes from the first claim to the last sample that is committed.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.farm import BLENDNET, Bench, Line, run
from bench.throttle import Throttle

IDEAL_S = 60.0
"""About so long the frame takes."""
SLOW_SHARE = 0.25
WARM_UP_SAMPLES = 32
NEVER_S = 1e9
TARGET = 1.10
_RENDERED = re.compile(r"samples (\d+)-(\d+) rendered in ([\d.]+) s")


@dataclass(frozen=True)
class Tail:
    """How a frame was rendered, in seconds."""

    makespan_s: float
    sample_s: dict[str, float]
    """Agent -> seconds per sample in its render calls."""
    samples: dict[str, int]
    splits: int

    @property
    def ideal_s(self) -> float:
        """Both agents render until the very end."""
        return sum(self.samples.values()) / sum(1 / s for s in self.sample_s.values())


def read_tail(events: list[dict[str, Any]], *, started_at: float) -> Tail:
    """What the log of a job with one frame says. PURE."""
    rendered: dict[str, list[tuple[int, float]]] = {}
    ended_at = started_at
    for event in events:
        if found := _RENDERED.fullmatch(event["text"]):
            count, seconds = int(found[2]) - int(found[1]), float(found[3])
            rendered.setdefault(event["agent"], []).append((count, seconds))
            ended_at = event["time"]
    return Tail(
        makespan_s=ended_at - started_at,
        sample_s={agent: sum(s for _, s in parts) / sum(n for n, _ in parts) for agent, parts in rendered.items()},
        samples={agent: sum(n for n, _ in parts) for agent, parts in rendered.items()},
        splits=sum(event["text"].startswith("gives samples") for event in events),
    )


class TailBench(Bench):
    """A farm with two agents."""

    def agents(self) -> dict[str, int]:
        return {agent["name"]: agent["pid"] for agent in json.loads(run(BLENDNET, "agent", "list", *self._json()))}

    def frame(self, scene: Path, *args: str) -> Tail:
        """Render a job and look how it went."""
        job = self.render(scene, *args)["job"]
        shown = json.loads(run(BLENDNET, "job", "show", job, *self._json()))
        lines = run(BLENDNET, "job", "logs", job, *self._json()).splitlines()
        return read_tail([json.loads(line) for line in lines], started_at=shown["started_at"])

    def warm_up(self, scene: Path) -> float:
        """Have both agents open the scene; seconds per sample on the fast one."""
        chunks = ("--samples", str(2 * WARM_UP_SAMPLES), "--chunk-samples", str(WARM_UP_SAMPLES))
        for _ in range(5):
            measured = self.frame(scene, *chunks)
            if len(measured.sample_s) == 2:
                return min(self.frame(scene, *chunks).sample_s.values())
        raise SystemExit("one agent renders everything: is the other one there?")

    def _json(self) -> tuple[str | Path, ...]:
        return ("--data", self.data, "--json")


@contextmanager
def _farm(worth_s: float | None) -> Iterator[TailBench]:
    """A farm with a fast and a slow agent in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="blendnet-bench-") as name, ExitStack() as stack:
        os.environ |= {"TMPDIR": name, "BLENDNET_BLENDER_THREADS": "1"}
        os.environ.pop("BLENDNET_TAIL_WORTH_S", None)
        if worth_s is not None:
            os.environ["BLENDNET_TAIL_WORTH_S"] = str(worth_s)
        data = Path(name) / "data"
        run(BLENDNET, "up", "--agents", "2", "--data", data)
        stack.callback(run, BLENDNET, "down", "--data", data)
        bench = TailBench(Path(name), data)
        for core, (share, pid) in enumerate(zip((1.0, SLOW_SHARE), bench.agents().values(), strict=True)):
            stack.enter_context(Throttle(pid, share=share, core=core % (os.cpu_count() or 1)))
        yield bench


def measure(*, runs: int, worth_s: float | None = None) -> list[Tail]:
    """A frame of about IDEAL_S, so many times; `worth_s` as the setting tail_worth_s, None: its default."""
    with _farm(worth_s) as bench:
        scene = bench.scene("tail", width=320, height=180, samples=WARM_UP_SAMPLES, frames=1)
        samples = round(IDEAL_S * (1 + SLOW_SHARE) / bench.warm_up(scene))
        return [bench.frame(scene, "--samples", str(samples), "--strategy", "split") for _ in range(runs)]


def report(runs: int = 3) -> Iterator[Line]:
    """Makespan against the ideal, with divided chunks and without."""
    for what, worth_s in (("chunks divided", None), ("never divided", NEVER_S)):
        tails = measure(runs=runs, worth_s=worth_s)
        for tail in tails:
            speeds = " and ".join(f"{1000 * s:.0f}" for s in sorted(tail.sample_s.values()))
            times = f"{tail.makespan_s:.1f} : {tail.ideal_s:.1f} s"
            yield Line(f"  {speeds} ms a sample, {tail.splits} splits", times, "")
        ratio = statistics.median(tail.makespan_s / tail.ideal_s for tail in tails)
        yield Line(f"slow tail, {what}: makespan : ideal", f"{ratio:.3f}", f"<= {TARGET}" if worth_s is None else "")


if __name__ == "__main__":
    from bench.__main__ import show

    os.environ.pop("BLENDNET_DATA", None)
    show(report(*map(int, sys.argv[1:2])))
