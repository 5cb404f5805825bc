"""How long Blender's window waits while the add-on hashes and sends 5 GB and watches a job of 1,000 frames.

Prints a table; `make latency` runs it. Other programs on the machine make timers late as well, so what is asserted is
the add-on's own processor time on the main thread.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest

from blendnet.agent.blenders import Build
from blendnet.manager.jobs import PreviewFile
from blendnet.manager.previews import frame_pixels, to_exr
from blendnet.merge import exr
from blendnet.security.credentials import OWNER, PASSWORD_FILES
from tests.end_to_end import farms
from tests.manager.farms import Kit
from tests.manager.served import Served, serve
from tests.ui.window import SCRIPT, Window, blender

LARGE_BYTES, SMALL_BYTES, SMALL_FILES = 2 << 30, 1 << 20, 3072
"""A project of 5 GB: one large file, and a sequence of pictures."""
FRAMES, JOBS = 1000, 300
PHASE_S = 20.0
LIMIT_MS = 50.0
SENDING_TIMEOUT_S = 1200.0
pytestmark = [pytest.mark.matrix, pytest.mark.end_to_end, pytest.mark.timeout(SENDING_TIMEOUT_S + 300)]
ALONE, WATCHING, SENDING = "alone", "watching", "sending"
NEED = """
for source, path in (("FILE", {large!r}), ("SEQUENCE", {first!r})):
    image = bpy.data.images.new(source, 4, 4)
    image.source, image.filepath = source, path
    bpy.data.textures.new(source, "IMAGE").image = image
"""
SEND = 'beats.measure("the button", bpy.ops.blendnet.render)'


def test_window_waits_for_nothing_that_the_add_on_does(
    window_build: Build, display: str, zip_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "blender").mkdir()
    scene = farms.prepare(window_build, "", tmp_path / "shot.blend", size=(96, 64), samples=8)
    project = tmp_path / "project"
    with (
        serve(tmp_path / "farm") as served,
        blender(
            window_build, display, tmp_path / "blender", scene=scene, output=tmp_path / "out", zip_file=zip_file
        ) as window,
    ):
        kit = Kit(served.farm, tmp_path, now=time.time())
        for _ in range(JOBS - 1):
            kit.submit([1])
        watched = kit.submit(list(range(1, FRAMES + 1)))
        try:
            _fill(project)
            window.do(NEED.format(large=str(project / "large.png"), first=str(project / "0001.png")))
            told = _phases(window, served, kit, watched.id)
            sizes = [stored.size_bytes for stored in served.store.listing().values()]
            assert (sizes.count(LARGE_BYTES), sizes.count(SMALL_BYTES)) == (1, SMALL_FILES)
        finally:
            shutil.rmtree(project)
            _drop_large(served)
    sys.stdout.write(f"\nBlender {window_build.version}\n")
    for name in (ALONE, WATCHING, SENDING):
        _print(name, told[name])
    for phase in (WATCHING, SENDING):
        assert max(told[phase]["own_ms"].values()) < LIMIT_MS, told[phase]["own_ms"]
    assert {"the button", "listening", "BLENDNET_PT_jobs", "BLENDNET_PT_main"} <= set(told[SENDING]["own_ms"])


def _phases(window: Window, served: Served, kit: Kit, watched: str) -> dict[str, Any]:
    window.do(f"sys.path.insert(0, {str(SCRIPT.parent)!r})\nimport beats\nbeats.start(watch.addon)\nwatch.quiet = True")
    alone = kit.folder / "picture.exr"
    alone.write_bytes(to_exr(frame_pixels([PreviewFile(_picture(kit.folder / "alone.exr", 0), 1)])))
    window.do(f"import beats\nbeats.draw_alone({str(alone)!r})")
    time.sleep(PHASE_S)
    window.do("import beats\nbeats.phase('setting up')\nwatch.quiet = False")
    password = served.data / PASSWORD_FILES[OWNER]
    login = f"address={served.url!r}, password_file={str(password)!r}, ca={str(served.certificate.ca)!r}"
    window.do(f"bpy.ops.blendnet.connect({login})")
    window.wait(lambda state: len(state["jobs"]) == JOBS, "the jobs are listed")
    window.act(f"bpy.ops.blendnet.select(job={watched!r})\nbpy.ops.blendnet.watch(job={watched!r})")
    window.wait(lambda state: len(state["frames"]) == FRAMES, "the frames are listed")
    with _working(served, kit, watched):
        window.wait(lambda state: state["picture"], "the picture is shown")
        window.do(f"import beats\nbeats.phase({WATCHING!r})\nwatch.quiet = True")
        time.sleep(PHASE_S)
        jobs = len(served.farm.jobs())
        window.act(f"import beats\nbeats.phase({SENDING!r})\n{SEND}\nbpy.ops.blendnet.select(job={watched!r})")
        farms.wait_until(lambda: len(served.farm.jobs()) > jobs, "the scene is sent", SENDING_TIMEOUT_S)
    window.do("import beats\nbeats.phase('after')\nwatch.told = beats.told()\nwatch.quiet = False")
    return window.wait(lambda state: state["told"], "the figures are told")["told"]


@contextmanager
def _working(served: Served, kit: Kit, watched: str) -> Iterator[None]:
    """The job goes on, frame by frame, and each of them has a picture that is not the one before."""
    over = Event()
    job = served.farm.job(watched)
    thread = Thread(target=lambda: [_render(served, kit, job, n) for n in range(FRAMES) if not over.wait(0.5)])
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _render(served: Served, kit: Kit, job: Any, position: int) -> None:
    kit.now = time.time()
    for chunk_id in kit.chunk_ids(job, position)[:1]:
        claim = kit.claim(chunk_id)
        with served.agent() as agent:
            agent.preview(chunk_id, token=claim.token, samples=1, path=_picture(kit.folder / "picture.exr", position))
        offset, count = claim.left[0]
        served.farm.commit(chunk_id, claim.token, offset, count - 1, kit.blob(), kit.now)


def _picture(path: Path, number: int) -> Path:
    """A preview as large as agents make them, full of noise."""
    width, height = 640, 360
    noise = np.random.default_rng(number)
    planes = {name: noise.random((height, width), np.float32) for name in "RGB"}
    planes["A"] = np.ones((height, width), np.float32)
    exr.write(path, exr.Image(planes, exr.header_for(width, height)), half=True)
    return path


def _fill(project: Path) -> None:
    """Files of which no two pieces are alike."""
    project.mkdir()
    piece = np.random.default_rng(1).bytes(SMALL_BYTES - 8)
    for number in range(1, SMALL_FILES + 1):
        (project / f"{number:04}.png").write_bytes(number.to_bytes(8, "big") + piece)
    with (project / "large.png").open("wb") as file:
        for number in range(LARGE_BYTES // SMALL_BYTES):
            file.write(number.to_bytes(8, "little") + piece)


def _drop_large(served: Served) -> None:
    """Gigabytes are no use to those who look at a test's folder afterwards."""
    for path in served.data.rglob("*"):
        if path.is_file() and path.stat().st_size >= SMALL_BYTES:
            path.unlink()


def _print(phase: str, told: dict[str, Any]) -> None:
    late, own = sorted(told["late_ms"]), told["own_ms"]
    figures = f"median {statistics.median(late):.1f}, p99 {late[len(late) * 99 // 100]:.1f}, most {late[-1]:.1f} ms"
    busy = sorted(told["busy_ms"])
    most = f"processor time from beat to beat: p99 {busy[len(busy) * 99 // 100]:.1f}, most {busy[-1]:.1f} ms"
    sys.stdout.write(f"{phase:9} {len(late):6} beats late by: {figures}; {most}\n")
    if own:
        longest = ", ".join(f"{what} {took:.1f}" for what, took in sorted(own.items()))
        sys.stdout.write(f"{'':9} processor time of the add-on's own calls, ms: {longest}\n")
