"""The warm Blender process: conversation, errors, crashes, timeouts and what is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from blendnet.agent import blender as module
from blendnet.agent.blender import WarmBlender, answer_fields, command_line
from blendnet.agent.blenders import Build
from blendnet.agent.process import environment
from blendnet.errors import BlenderCrashed, BlenderError, BlenderTimeout
from tests.agent.render_scenes import MAKE_SCENE
from tests.agent.scripted import run_script

WAIT_S = 20


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.fixture
def warm(any_build: Build, tmp_path: Path) -> Iterator[WarmBlender]:
    with WarmBlender(any_build, workdir=tmp_path / "work", threads=1, log_path=tmp_path / "log.txt") as blender:
        yield blender


@pytest.fixture
def endless(warm: WarmBlender, any_build: Build, tmp_path: Path) -> dict[str, object]:
    """Arguments of a render call that takes minutes, in a Blender that is ready for it."""
    scene = tmp_path / "scene.blend"
    run_script(any_build, MAKE_SCENE, tmp_path, scene=str(scene), two_layers=False)
    warm.call("open", timeout_s=WAIT_S, path=scene)
    warm.call("prepare", timeout_s=WAIT_S, samples=100_000)
    return {"frame": 1, "offset": 0, "count": 100_000, "total": 100_000, "output": tmp_path / "x.exr"}


def test_command_line_is_one_line_of_json_with_paths_as_text() -> None:
    assert command_line(3, "open", {"path": Path("/a\nb")}) == b'{"id": 3, "do": "open", "path": "/a\\nb"}\n'


def test_answer_fields_leave_the_envelope_out() -> None:
    assert answer_fields("hello", {"id": 1, "ok": True, "version": "4.5.15"}) == {"version": "4.5.15"}


def test_answer_fields_raise_blenders_own_words() -> None:
    with pytest.raises(BlenderError, match="no camera") as caught:
        answer_fields("render", {"id": 1, "ok": False, "kind": "scene", "error": "no camera"})
    assert caught.value.kind == "scene"


def test_environment_holds_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BLENDNET_MANAGER_PASSWORD_FILE", "/secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key")
    found = environment(tmp_path)
    assert "/secret" not in found.values()
    assert "key" not in found.values()
    assert found["TMPDIR"] == str(tmp_path)


def test_blender_starts_at_the_first_call_and_stays(warm: WarmBlender, any_build: Build) -> None:
    assert warm.pid is None
    first = warm.call("hello", timeout_s=WAIT_S)
    assert first["version"] == any_build.version
    assert "CPU" in first["devices"]
    assert first["pid"] == warm.pid == warm.call("hello", timeout_s=WAIT_S)["pid"]


def test_blender_answers_an_error_and_goes_on(warm: WarmBlender) -> None:
    with pytest.raises(BlenderError, match="unknown command 'dance'") as caught:
        warm.call("dance", timeout_s=WAIT_S)
    assert caught.value.kind == "order"
    with pytest.raises(BlenderError, match="'prepare' must come before 'render'"):
        warm.call("render", timeout_s=WAIT_S, frame=1, offset=0, count=1, total=1, output="x.exr")
    assert warm.call("hello", timeout_s=WAIT_S)["pid"] == warm.pid


def test_blender_leaves_nothing_behind_when_closed(warm: WarmBlender, tmp_path: Path) -> None:
    pid = warm.call("hello", timeout_s=WAIT_S)["pid"]
    warm.close()
    assert not alive(pid)
    assert not warm.running
    assert list((tmp_path / "work").iterdir()) == []


def test_blender_that_is_killed_between_calls_is_reported_before_a_fresh_one_starts(warm: WarmBlender) -> None:
    pid = warm.call("hello", timeout_s=WAIT_S)["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not warm.running)
    with pytest.raises(BlenderCrashed, match="SIGKILL"):
        warm.call("hello", timeout_s=WAIT_S)
    assert warm.call("hello", timeout_s=WAIT_S)["pid"] != pid


def test_blender_that_segfaults_reports_its_last_words(warm: WarmBlender, any_build: Build) -> None:
    pid = warm.call("hello", timeout_s=WAIT_S)["pid"]
    with warm.log_path.open("a") as log:
        log.write("Fra:1 Mem:9000.00M | Building BVH\n")
    os.kill(pid, signal.SIGSEGV)
    with pytest.raises(BlenderCrashed) as caught:
        warm.call("hello", timeout_s=WAIT_S)
    assert "Building BVH" in caught.value.log
    assert "its last words: # " not in str(caught.value)
    assert ("Blender's crash report" in caught.value.log) is (any_build.kind == "binary")
    assert caught.value.kind == "crash"


def test_call_ends_blender_when_it_takes_too_long(warm: WarmBlender, endless: dict[str, object]) -> None:
    pid = warm.pid
    assert pid is not None
    with pytest.raises(BlenderTimeout, match=r"did not answer 'render' within 0\.5 s"):
        warm.call("render", timeout_s=0.5, **endless)
    assert not alive(pid)


def test_call_is_not_confused_by_the_answer_to_an_abandoned_one(
    warm: WarmBlender, endless: dict[str, object], any_build: Build
) -> None:
    if any_build.kind == "binary":
        pytest.skip("this Blender tells nothing while it renders")

    def give_up(_event: dict[str, object]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        warm.call("render", timeout_s=WAIT_S, on_event=give_up, **{**endless, "count": 8})
    assert warm.call("hello", timeout_s=WAIT_S)["version"] == any_build.version


def test_kill_ends_a_render_from_another_thread(warm: WarmBlender, endless: dict[str, object]) -> None:
    timer = threading.Timer(0.5, warm.kill)
    timer.start()
    with pytest.raises(BlenderCrashed, match="SIGKILL"):
        warm.call("render", timeout_s=60, **endless)
    timer.join()


def test_start_reports_a_build_that_cannot_run(tmp_path: Path) -> None:
    missing = Build("4.5.15", "wheel", tmp_path / "python")
    with WarmBlender(missing, workdir=tmp_path / "work", log_path=tmp_path / "log.txt") as blender:
        with pytest.raises(BlenderCrashed, match="cannot be started"):
            blender.call("hello", timeout_s=WAIT_S)


def test_start_reports_what_a_broken_build_printed(tmp_path: Path) -> None:
    no_bpy = Build("4.5.15", "wheel", Path(sys.executable))
    with WarmBlender(no_bpy, workdir=tmp_path / "work", log_path=tmp_path / "log.txt") as blender:
        with pytest.raises(BlenderCrashed, match="No module named 'bpy'"):
            blender.call("hello", timeout_s=WAIT_S)


def test_log_is_cut_to_its_end_between_calls(warm: WarmBlender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOG_LIMIT_BYTES", 10_000)
    monkeypatch.setattr(module, "LOG_KEEP_BYTES", 1_000)
    warm.call("hello", timeout_s=WAIT_S)
    with warm.log_path.open("a") as log:
        log.write("x" * 20_000 + "the end\n")
    warm.call("hello", timeout_s=WAIT_S)
    text = warm.log_path.read_text()
    assert len(text) < 2_000
    assert "the end" in text


HOLDER = """
import sys
from pathlib import Path
from blendnet.agent.blender import WarmBlender
from blendnet.agent.blenders import Build
version, kind, path, work = sys.argv[1:]
blender = WarmBlender(Build(version, kind, Path(path)), workdir=Path(work), log_path=Path(work) / "log.txt")
print(blender.call("hello", timeout_s=20)["pid"], flush=True)
sys.stdin.read()
"""


def test_blender_dies_with_the_process_that_started_it(any_build: Build, tmp_path: Path) -> None:
    arguments = [any_build.version, any_build.kind, str(any_build.path), str(tmp_path)]
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        pid = int(holder.stdout.readline())
        assert alive(pid)
        holder.kill()
    wait_for(lambda: not alive(pid))


def test_blender_outlives_the_thread_that_made_the_first_call(warm: WarmBlender) -> None:
    thread = threading.Thread(target=lambda: warm.call("hello", timeout_s=WAIT_S))
    thread.start()
    thread.join()
    pid = warm.pid
    assert pid is not None
    assert warm.call("hello", timeout_s=WAIT_S)["pid"] == pid


def test_stopped_blender_is_ended_when_it_shows_no_sign_of_life(
    any_build: Build, tmp_path: Path, endless: dict[str, object], warm: WarmBlender
) -> None:
    warm._stall_s = 2.0
    pid = warm.pid
    assert pid is not None
    timer = threading.Timer(1.0, os.kill, (pid, signal.SIGSTOP))
    timer.start()
    with pytest.raises(BlenderTimeout, match="said nothing and used no processor time for 2 s during 'render'"):
        warm.call("render", timeout_s=60, **endless)
    timer.join()
    assert not alive(pid)
    assert (warm.peak_memory_bytes or 0) > 50 << 20


CHATTY = """
import json, os, sys, time
commands, answers = open(int(sys.argv[1])), int(sys.argv[2])
os.write(answers, b'{"id": 0, "ok": true}\\n')
number = json.loads(commands.readline())["id"]
while True:
    os.write(answers, (json.dumps({"id": number, "event": "samples", "done": 1, "total": 2}) + "\\n").encode())
    time.sleep(0.05)
"""


class Chatty(Build):
    """Says how far it is, again and again, and never answers."""

    def command(self, inside: Path, in_fd: int, out_fd: int, *, threads: int = 0) -> list[str]:
        return [sys.executable, "-c", CHATTY, str(in_fd), str(out_fd)]


def test_call_ends_at_its_limit_although_blender_keeps_talking(tmp_path: Path) -> None:
    build = Chatty("4.5.15", "wheel", Path(sys.executable))
    heard: list[dict[str, object]] = []
    with WarmBlender(build, workdir=tmp_path / "work", log_path=tmp_path / "log.txt") as blender:
        with pytest.raises(BlenderTimeout, match=r"did not answer 'render' within 1 s"):
            blender.call("render", timeout_s=1, on_event=heard.append)
        assert not blender.running
    assert heard


def test_busy_blender_is_not_taken_for_stuck(warm: WarmBlender, endless: dict[str, object]) -> None:
    warm._stall_s = 1.5
    with pytest.raises(BlenderTimeout, match=r"did not answer 'render' within 5 s"):
        warm.call("render", timeout_s=5, **endless)


HUNGRY = """
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
scene.render.engine = "CYCLES"
scene.render.resolution_x = scene.render.resolution_y = 8
bpy.ops.mesh.primitive_cube_add()
modifier = bpy.context.object.modifiers.new("many", "SUBSURF")
modifier.render_levels, modifier.subdivision_type = 11, "SIMPLE"
scene.camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
scene.collection.objects.link(scene.camera)
bpy.ops.wm.save_as_mainfile(filepath=args["scene"])
"""
"""Saves a cube of 25 million faces: several gigabytes when it is rendered."""


def test_blender_that_wants_more_memory_than_it_may_have_is_reported(any_build: Build, tmp_path: Path) -> None:
    scene = tmp_path / "hungry.blend"
    run_script(any_build, HUNGRY, tmp_path, scene=str(scene))
    with WarmBlender(
        any_build, workdir=tmp_path / "work", threads=1, memory_bytes=1 << 30, log_path=tmp_path / "log.txt"
    ) as blender:
        blender.call("open", timeout_s=WAIT_S, path=scene)
        blender.call("prepare", timeout_s=WAIT_S, samples=1)
        with pytest.raises(BlenderError) as caught:
            blender.call("render", timeout_s=120, frame=1, offset=0, count=1, total=1, output=tmp_path / "x.exr")
        peak = blender.peak_memory_bytes
    assert caught.value.kind == "memory", f"{caught.value}: {caught.value.log}"
    assert peak is not None
    assert peak < 3 << 30


TOO_MANY = """
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
scene.render.engine = "CYCLES"
scene.render.resolution_x = scene.render.resolution_y = 8
bpy.ops.mesh.primitive_cube_add()
modifier = bpy.context.object.modifiers.new("many", "ARRAY")
modifier.count, modifier.show_viewport = 2_000_000_000, False
scene.camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
scene.collection.objects.link(scene.camera)
bpy.ops.wm.save_as_mainfile(filepath=args["scene"])
"""
"""Saves a cube that Blender leaves out: its array cannot be that long."""


def test_object_that_blender_leaves_out_is_told(any_build: Build, tmp_path: Path) -> None:
    scene = tmp_path / "many.blend"
    run_script(any_build, TOO_MANY, tmp_path, scene=str(scene))
    with WarmBlender(any_build, workdir=tmp_path / "work", threads=1, log_path=tmp_path / "log.txt") as blender:
        blender.call("open", timeout_s=WAIT_S, path=scene)
        blender.call("prepare", timeout_s=WAIT_S, samples=1)
        blender.call("render", timeout_s=120, frame=1, offset=0, count=1, total=1, output=tmp_path / "x.exr")
        assert [text.partition(": ")[0] for text in blender.complaints] == ["object 'Cube', modifier 'many'"]
        blender.call("describe", timeout_s=WAIT_S)
        assert blender.complaints == [], "those of the last call alone"


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A control group of 700 MB, where this user may make one."""
    for folder, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        group = Path(folder) / f"blendnet-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if (group / limit).exists():
                (group / limit).write_text(str(700 << 20))
                yield group
                return
        finally:
            group.rmdir()
    pytest.skip("no control group can be made here")


def test_blender_that_the_kernel_ends_for_memory_is_reported(
    warm: WarmBlender, any_build: Build, small_group: Path, tmp_path: Path
) -> None:
    scene = tmp_path / "hungry.blend"
    run_script(any_build, HUNGRY, tmp_path, scene=str(scene))
    warm.call("open", timeout_s=WAIT_S, path=scene)
    warm.call("prepare", timeout_s=WAIT_S, samples=1)
    (small_group / "cgroup.procs").write_text(str(warm.pid))
    with pytest.raises(BlenderCrashed, match="SIGKILL") as caught:
        warm.call("render", timeout_s=120, frame=1, offset=0, count=1, total=1, output=tmp_path / "x.exr")
    assert caught.value.kind == "memory"
    assert (warm.peak_memory_bytes or 0) > 600 << 20
