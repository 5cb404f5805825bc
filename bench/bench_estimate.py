"""How good estimates are: `cloud estimate` for a machine with the same cores as this one, against the real render here.

    python -m bench.bench_estimate examples/example.blend:1-3:64 scene.blend:1:500

Both times are those without other programs (cli/cloud_meter.py): a busy machine would decide the ratio. The estimate
boots nothing and has one agent; the real job runs on a farm with one agent that has not opened the scene yet.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from bench import farm
from bench.farm import Bench, Line, run
from blendnet.cli.cloud_meter import Reading, between, read
from blendnet.cli.cloud_probe import Aim, probe
from blendnet.cli.cloud_question import ask
from blendnet.cli.scene import check_scene_file, inspect
from blendnet.cli.submission import Choices, frames_of
from blendnet.provision.base import Features
from blendnet.provision.estimate import Fleet, course_of
from blendnet.settings import get_settings

FLEET = Fleet(agents=1, spot=False, usd_per_hour=None)


@dataclass(frozen=True)
class Shot:
    """A scene and what is rendered of it."""

    scene: Path
    choices: Choices

    @classmethod
    def parse(cls, text: str) -> Shot:
        """SCENE[:FRAMES[:SAMPLES]]"""
        scene, frames, samples = (*text.split(":"), "", "")[:3]
        return cls(Path(scene), Choices(frames=frames or None, samples=int(samples) if samples else None))


def estimated(bench: Bench, shot: Shot) -> tuple[float, float]:
    """(seconds of the job, seconds that the probe took)."""
    looked = inspect(check_scene_file(shot.scene), bench.build)
    samples = shot.choices.samples or looked.description.samples
    found = probe(looked, Aim(frames=frames_of(shot.choices, looked.description), samples=samples), say=lambda *_: None)
    question = ask(
        looked, shot.choices, found, settings=get_settings(), features=Features(), agents=1, spot=False, speed=1.0,
        provider="", region="",
    )  # fmt: skip
    return course_of(question.work, found.pace, FLEET, replace(question.rules, boot_s=0.0)).seconds, found.seconds


def rendered(bench: Bench, shot: Shot) -> tuple[float, float, float]:
    """(seconds of the job without other programs, with them, their share)."""
    service = json.loads((bench.data / "farm.json").read_text("utf-8"))["pid"]
    options = [*(("--frames", shot.choices.frames) if shot.choices.frames else ())]
    options += [*(("--samples", str(shot.choices.samples)) if shot.choices.samples else ())]
    start = _farm_clock(service)
    done = json.loads(run(farm.BLENDNET, "render", shot.scene, "--data", bench.data, "--output", bench.folder / "o",
                          "--json", *options))  # fmt: skip
    span = between(start, _farm_clock(service))
    return done["seconds"] * span.alone_s / span.wall_s, done["seconds"], span.others_share


def _farm_clock(service: int) -> Reading:
    """The clocks of the farm's processes and of this command's children that have ended."""
    tree = psutil.Process(service).children(recursive=True)
    reading = read(service, *(process.pid for process in tree))
    ended = os.times()
    return replace(reading, own_s=reading.own_s + ended.children_user + ended.children_system)


def report(texts: list[str]) -> list[Line]:
    """A line for each shot, printed as soon as it is known."""
    lines = []
    for text in texts:
        shot = Shot.parse(text)
        with farm.farm() as bench:
            guess_s, probe_s = estimated(bench, shot)
            real_s, wall_s, others = rendered(bench, shot)
        value = (
            f"estimated {guess_s:.1f} s, real {real_s:.1f} s (wall {wall_s:.1f} s, others {others:.0%}), "
            f"ratio {guess_s / real_s:.2f}, probe {probe_s:.1f} s"
        )
        lines.append(Line(text, value, ""))
        print(f"{shot.scene.name} {shot.choices.frames} {shot.choices.samples}: {value}", flush=True)
    return lines


if __name__ == "__main__":
    report(sys.argv[1:])
