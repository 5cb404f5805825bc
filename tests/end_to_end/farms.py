"""What the end-to-end tests share: running the command line as a user does, preparing scenes, comparing pictures."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import png
import psutil

from blendnet.agent.blenders import Build
from blendnet.cli.connect import manager
from blendnet.client import ManagerClient
from blendnet.manager.folder import DataFolder
from blendnet.merge import exr

HERE = Path(__file__).resolve().parent
ALL_PASSES = (
    "use_pass_z", "use_pass_mist", "use_pass_normal", "use_pass_position", "use_pass_uv",
    "use_pass_object_index", "use_pass_material_index", "use_pass_diffuse_direct", "use_pass_diffuse_indirect",
    "use_pass_diffuse_color", "use_pass_glossy_direct", "use_pass_glossy_indirect", "use_pass_transmission_direct",
    "use_pass_transmission_indirect", "use_pass_emit", "use_pass_environment", "use_pass_ambient_occlusion",
    "use_pass_shadow", "use_pass_cryptomatte_object", "use_pass_cryptomatte_material",
)  # fmt: skip
"""Every pass switched on; glossy and transmission without their colour, which then must not appear in the result."""
ABSOLUTE, RELATIVE = 2e-5, 5e-6
COMMAND_TIMEOUT_S = 400
LOOK_S = 0.05


@dataclass(frozen=True)
class Result:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def blendnet(*args: str | Path, cwd: Path | None = None, timeout_s: float = COMMAND_TIMEOUT_S, **env: str) -> Result:
    """Run the `blendnet` command in a process of its own."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("blendnet")), *map(str, args)],
        cwd=cwd, env=os.environ | env, capture_output=True, text=True,
        timeout=timeout_s, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    return Result(done.returncode, done.stdout, done.stderr)


def client(data: Path) -> AbstractContextManager[ManagerClient]:
    """The farm's Manager, for what is asked again and again or timed: a command takes a second to start."""
    return manager(DataFolder(data))


def up(data: Path, *, agents: int = 2, listen: str | None = None, **settings: float) -> None:
    """Start a farm that stays, with these settings of BlendNet; `listen`: the address at which machines may join."""
    env = {f"BLENDNET_{name.upper()}": str(value) for name, value in settings.items()}
    where = ["--listen", listen] if listen else []
    started = blendnet("up", "--agents", str(agents), *where, "--data", data, **env)
    assert started.code == 0, started.err


@contextmanager
def running(
    data: Path, *, agents: int = 2, listen: str | None = None, gone_after_s: float = 0.0, **settings: float
) -> Iterator[Path]:
    """The same; nothing of it is left `gone_after_s` after its end: a farm that a test kills needs a moment."""
    up(data, agents=agents, listen=listen, **settings)
    try:
        yield data
    finally:
        blendnet("down", "--data", data)
    wait_until(lambda: not processes_mentioning(data), "all processes of the farm ended", gone_after_s)


def in_blender(build: Build, script: str, *args: str | Path, timeout_s: float = COMMAND_TIMEOUT_S) -> None:
    """Run one of the scripts beside this file inside a Blender build."""
    head = [str(build.path)]
    if build.kind == "binary":
        head += ["-b", "--factory-startup", "-noaudio", "--python-exit-code", "1", "--python"]
    done = subprocess.run(
        [*head, str(HERE / "scripts" / script), "--", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def prepare(build: Build, source: Path | str, target: Path, **change: Any) -> Path:
    """Save a small Cycles copy of `source` ('': of the start-up scene); `change` as in scripts/prepare.py."""
    in_blender(build, "prepare.py", source, target, json.dumps(change))
    return target


def plain_render(
    build: Build, scene: Path, folder: Path, frames: list[int], wanted: Sequence[str] = ("finished", "plain")
) -> None:
    """The one-machine render of frames: finished_NNNN.* and plain_NNNN.exr in `folder`, each a render of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    in_blender(build, "plain.py", scene, folder, json.dumps(frames), json.dumps(wanted))


def reference(build: Build, scene: Path, folder: Path) -> Path:
    """The one-machine render of a scene's first frame, every pass."""
    plain_render(build, scene, folder, [1], ["plain"])
    return folder / "plain_0001.exr"


def worst_difference(merged: Path, reference: Path) -> dict[str, float]:
    """Channel -> error of its worst pixel in units of the tolerance (<= 1 is inside); without Vector."""
    ours, theirs = exr.read(merged).channels, exr.read(reference).channels
    assert set(ours) == set(theirs), f"channels differ: {sorted(set(ours) ^ set(theirs))}"
    return {name: _excess(ours[name], theirs[name]) for name in theirs if ".Vector." not in name}


def _excess(ours: np.ndarray, theirs: np.ndarray) -> float:
    assert ours.shape == theirs.shape
    finite = np.isfinite(theirs)
    assert np.array_equal(finite, np.isfinite(ours))
    allowed = np.maximum(ABSOLUTE, RELATIVE * np.abs(theirs[finite]))
    return float((np.abs(ours[finite] - theirs[finite]) / allowed).max(initial=0.0))


def read_png16(path: Path) -> np.ndarray:
    """Pixels of a PNG as int32 HxWxC, all 16 bits kept."""
    width, height, rows, info = png.Reader(bytes=path.read_bytes()).read()
    assert info["bitdepth"] == 16
    return (
        np.vstack([np.frombuffer(bytes(memoryview(row).cast("B")), np.uint16) for row in rows])
        .astype(np.int32)
        .reshape(height, width, info["planes"])
    )


def sha256(path: Path) -> str:
    """Hash of a file: the name it has in the store."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = 60.0) -> Any:
    """Wait for a condition to become true and return its value; fail naming it after the deadline.

    A look that takes long is rare: what is waited for needs the processors, too.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        began = time.monotonic()
        if value := condition():
            return value
        now = time.monotonic()
        assert now < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(max(LOOK_S, now - began))


def processes_mentioning(folder: Path) -> list[psutil.Process]:
    """Living processes whose command line or environment names a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            text = " ".join(process.cmdline()) + " ".join(process.environ().values())
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        if str(folder) in text and process.pid != os.getpid():
            found.append(process)
    return found
