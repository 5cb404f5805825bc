"""Blender without network: the filter, where it ends, and a real Blender that renders behind it."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from blendnet.agent import offline, process
from blendnet.agent.blender import WarmBlender
from blendnet.agent.blenders import Build
from tests.agent.render_scenes import MAKE_SCENE
from tests.agent.scripted import run_script

WAIT_S = 60
IN_PYTHON = """
import ctypes, errno, os, socket
def attempt(call):
    try:
        call()
        return "made"
    except OSError as error:
        return errno.errorcode[error.errno]
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_UNIX):
    print(family.name, attempt(lambda: socket.socket(family).close()))
libc = ctypes.CDLL(None, use_errno=True)
for number in (425, 438, 0x40000000 | 41):
    libc.syscall(number, 0, 0, 0)
    print(number, errno.errorcode[ctypes.get_errno()])
os.write(os.open(os.devnull, os.O_WRONLY), b"files work")
"""
SCRIPT_OF_SCENE = """
import socket
import bpy
try:
    socket.create_connection(("127.0.0.1", PORT), 5).close()
    word = "reached"
except OSError as error:
    word = "refused: %s" % error.strerror
open(TARGET, "w").write(word)
"""


def in_thread(action: Callable[[], Any]) -> Any:
    """What an action returns in a thread of its own: what it loses is lost for that thread alone."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(action()))
    thread.start()
    thread.join()
    return results[0]


def python_offline() -> str:
    assert offline.go_offline() == ""
    return subprocess.run([sys.executable, "-I", "-c", IN_PYTHON], capture_output=True, text=True, check=True).stdout


def test_go_offline_leaves_only_sockets_of_files() -> None:
    assert in_thread(python_offline).split("\n")[:7] == [
        "AF_INET EACCES",
        "AF_INET6 EACCES",
        "AF_NETLINK EACCES",
        "AF_UNIX made",
        "425 ENOSYS",
        "438 ENOSYS",
        f"{0x40000000 | 41} ENOSYS",
    ]


def test_go_offline_binds_no_other_thread() -> None:
    in_thread(offline.go_offline)
    socket.socket(socket.AF_INET).close()


def test_go_offline_says_where_it_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline, "MACHINES", {})
    assert "built for Linux" in offline.go_offline()


def test_process_says_once_that_blender_keeps_the_network(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(offline, "go_offline", lambda: "no such thing here")
    process._say_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        process._go_offline()
        process._go_offline()
    assert [record.message for record in caplog.records] == [
        "Blender keeps its access to the network: no such thing here"
    ]


@pytest.mark.parametrize(
    ("driver", "device", "called"), [(True, False, True), (True, True, False), (False, False, False)]
)
def test_wake_gpu_makes_the_device_that_is_missing(
    driver: bool, device: bool, called: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = tmp_path / "nvidia-modprobe"
    helper.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\n')
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "driver").touch() if driver else None
    (tmp_path / "device").touch() if device else None
    offline.wake_gpu(tmp_path / "driver", tmp_path / "device")
    assert (tmp_path / "called").exists() is called


@pytest.mark.parametrize(("network", "word"), [(False, "refused: Permission denied"), (True, "reached")])
def test_script_in_blender_reaches_nobody_and_the_scene_renders(
    blender34: Build, tmp_path: Path, network: bool, word: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        said = render_with_script(blender34, tmp_path, server.getsockname()[1], network=network)
    assert said == word


def test_wheel_renders_without_network(bpy_build: Build, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        said = render_with_script(bpy_build, tmp_path, server.getsockname()[1], network=False)
    assert said == "refused: Permission denied"


def render_with_script(build: Build, folder: Path, port: int, *, network: bool) -> str:
    """What a script in a scene found when the scene was opened; the scene has rendered since."""
    target = folder / "word"
    source = SCRIPT_OF_SCENE.replace("PORT", str(port)).replace("TARGET", repr(str(target)))
    register = f"text = bpy.data.texts.new('ask.py')\ntext.write({source!r})\ntext.use_module = True\n"
    make = MAKE_SCENE.replace("bpy.ops.wm.save", f"{register}bpy.ops.wm.save", 1)
    assert make != MAKE_SCENE
    scene = folder / "scene.blend"
    run_script(build, make, folder, scene=str(scene), two_layers=False)
    with WarmBlender(
        build, workdir=folder / "work", threads=1, log_path=folder / "log.txt", network=network
    ) as blender:
        blender.call("open", timeout_s=WAIT_S, path=scene, scripts=True)
        blender.call("prepare", timeout_s=WAIT_S, samples=1)
        output = folder / "x.exr"
        answer = blender.call("render", timeout_s=WAIT_S, frame=1, offset=0, count=1, total=1, output=output)
    assert all(Path(file["path"]).stat().st_size > 0 for file in answer["files"])
    return target.read_text()
