"""BlendNet against plain Blender on this machine: one long frame, many tiny frames, time to the first preview."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from blendnet.agent import blenders
from blendnet.settings import get_settings

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = Path(__file__).resolve().parent / "scripts"
BLENDNET = str(Path(sys.executable).with_name("blendnet"))
LONG_FRAME_S = 60.0
PAIRS = 3
"""How often the long frame is rendered by the farm, between runs of plain Blender: single runs differ by a few percent
on a machine that has nothing else to do."""
TINY_FRAMES = 20


@dataclass(frozen=True)
class Line:
    """One row of the report."""

    what: str
    value: str
    target: str


def timed(call: Callable[[], object]) -> float:
    """Seconds of wall time that a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def run(*args: str | Path) -> str:
    """Run a command, return its stdout; its stderr is shown when it fails."""
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, args))} failed:\n{done.stderr[-3000:]}")
    return done.stdout


class Bench:
    """One build, one farm with one agent, scenes made for the occasion in a temporary folder."""

    def __init__(self, folder: Path, data: Path) -> None:
        self.folder, self.data = folder, data
        self.build = blenders.find("4.5", get_settings().blenders_dir)

    def blender(self, script: str, *args: object) -> str:
        """Run a script of bench/scripts in a plain Blender of its own."""
        return run(self.build.path, SCRIPTS / script, "--", *map(str, args))

    def scene(self, name: str, *, width: int, height: int, samples: int, frames: int) -> Path:
        path = self.folder / f"{name}.blend"
        self.blender("make_scene.py", path, width, height, samples, frames)
        return path

    def render(self, scene: Path, *args: str) -> dict:
        """The scene through the running farm, as a user does it; the command's JSON."""
        out = tempfile.mkdtemp(dir=self.folder)
        return json.loads(run(BLENDNET, "render", scene, "--data", self.data, "--output", out, "--json", *args))

    def long_frame(self) -> Iterator[Line]:
        """One frame of about a minute: wall time of `blendnet render` on one warm agent against plain Blender."""
        probe = self.scene("probe", width=480, height=270, samples=64, frames=1)
        start = timed(lambda: self.blender("plain.py", probe, self.folder, 1, 1))
        per_sample = (timed(lambda: self.blender("plain.py", probe, self.folder, 1, 1)) + start) / 2 / 64
        scene = self.scene("long", width=480, height=270, samples=round(LONG_FRAME_S / per_sample), frames=1)
        self.render(scene, "--samples", "1")
        plain, ours = [timed(lambda: self.blender("plain.py", scene, self.folder, 1, 1))], []
        for _ in range(PAIRS):
            ours.append(timed(lambda: self.render(scene)))
            plain.append(timed(lambda: self.blender("plain.py", scene, self.folder, 1, 1)))
        ratio = median(ours) / median(plain)
        yield Line("long frame, plain Blender", _seconds(plain), "")
        yield Line("long frame, BlendNet, 1 warm agent", _seconds(ours), "")
        yield Line("long frame, BlendNet : plain", f"{ratio:.3f}", "<= 1.05")

    def tiny_frames(self) -> Iterator[Line]:
        """20 tiny frames: BlendNet on a warm farm, one Blender per frame, one Blender for all."""
        scene = self.scene("tiny", width=160, height=90, samples=8, frames=TINY_FRAMES)
        self.render(scene, "--frames", "1")
        ours = timed(lambda: self.render(scene)) / TINY_FRAMES
        each = timed(lambda: [self.blender("plain.py", scene, self.folder, n, n) for n in range(1, 6)]) / 5
        one = timed(lambda: self.blender("plain.py", scene, self.folder, 1, TINY_FRAMES)) / TINY_FRAMES
        yield Line("tiny frame, BlendNet on a warm farm", f"{ours:.2f} s", "<= 0.5 s")
        yield Line("tiny frame, one Blender start per frame", f"{each:.2f} s", "")
        yield Line("tiny frame, one Blender for all", f"{one:.2f} s", "")
        yield Line("tiny frame, BlendNet : one start per frame", f"{ours / each:.2f}", "")

    def first_preview(self) -> Iterator[Line]:
        """Seconds from `job submit` to the first preview of a long frame that the farm has not seen before."""
        scene = self.scene("preview", width=960, height=540, samples=4000, frames=1)
        start = time.perf_counter()
        job = json.loads(run(BLENDNET, "job", "submit", scene, "--data", self.data, "--json"))["job"]
        submitted = time.perf_counter()
        while not self._has_preview(job):
            if time.perf_counter() - start > 120:
                raise SystemExit("no preview within 120 s")
        shown = time.perf_counter()
        run(BLENDNET, "job", "cancel", job, "--data", self.data)
        yield Line("first preview after the job was submitted", f"{shown - submitted:.1f} s", "<= 8 s")
        yield Line("first preview after the command was typed", f"{shown - start:.1f} s", "")

    def _has_preview(self, job: str) -> bool:
        shown = json.loads(run(BLENDNET, "job", "show", job, "--data", self.data, "--json"))
        return any(frame["preview_samples"] for frame in shown["frames"])


def _seconds(times: list[float]) -> str:
    return f"{median(times):.1f} s ({', '.join(f'{t:.1f}' for t in times)})"


@contextmanager
def farm() -> Iterator[Bench]:
    """A farm with one agent in a temporary folder, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="blendnet-bench-") as name:
        folder = Path(name)
        os.environ["TMPDIR"] = name  # Blender leaves folders behind when a script ends it.
        data = folder / "data"
        run(BLENDNET, "up", "--agents", "1", "--data", data)
        try:
            yield Bench(folder, data)
        finally:
            run(BLENDNET, "down", "--data", data)


def report() -> Iterator[Line]:
    """All comparisons, one after the other."""
    os.environ.pop("BLENDNET_DATA", None)
    with farm() as bench:
        for part in (bench.first_preview, bench.tiny_frames, bench.long_frame):
            yield from part()
