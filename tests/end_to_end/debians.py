"""Blenders of other Debians than this one, as debian_blender.sh makes them, and how they start this one's programs."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from blendnet.agent.blenders import Build, probe
from tests.conftest import ROOT, unavailable

FOLDER = ROOT / "build" / "debians"
SUITES = {"2.83": "bullseye", "4.3": "trixie"}
"""Series of Blender -> the Debian that has it."""


def find(series: str) -> Build:
    """The Blender of another Debian; without it the test is skipped, or fails in CI."""
    program = FOLDER / SUITES[series] / "blender"
    if not program.is_file():
        unavailable(f"no {program}: run `make matrix` as root")
    return probe(program)


def reachable(program: Path, build: Build, folder: Path) -> Path:
    """A program of this machine as this Blender can start it: one of another Debian sees other libraries.

    `folder`: gets the script that goes back to the files that this process sees.
    """
    if FOLDER not in build.path.parents:
        return program
    script = folder / program.name
    back = ["nsenter", f"--mount=/proc/{os.getpid()}/ns/mnt", "--", str(program)]
    script.write_text(f'#!/bin/sh\nexec {shlex.join(back)} "$@"\n', "utf-8")
    script.chmod(0o755)
    return script
