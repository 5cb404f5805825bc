"""An agent that lacks a Blender fetches it, when it may; the Blender is a small wheel, pip is real."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from blendnet.agent import blenders, warm
from blendnet.agent.blenders import Build
from blendnet.agent.warm import WarmScene
from blendnet.errors import BlenderError, BlenderMissing
from blendnet.settings import Settings


def scene_of(tmp_path: Path, *, fetch: bool) -> WarmScene:
    settings = Settings(blenders_dir=tmp_path / "builds", blender_fetch=fetch, blender_mirror="https://mirror.example")
    return WarmScene(settings, folder=tmp_path, log_path=tmp_path / "log.txt")


def test_agent_fetches_nothing_unless_it_may(tmp_path: Path) -> None:
    with pytest.raises(BlenderMissing, match=r"no Blender 4\.9 on this machine"):
        scene_of(tmp_path, fetch=False)._build("4.9")


def test_agent_fetches_no_program(tmp_path: Path) -> None:
    with pytest.raises(BlenderMissing, match="no Blender at"):
        scene_of(tmp_path, fetch=True)._build("/opt/own/blender")


def test_agent_fetches_what_it_lacks_and_tells_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = Build("4.9.1", "binary", tmp_path / "blender")

    def install(version: str, folder: Path, *, progress, source) -> Build:
        assert (version, folder, source.mirror) == ("4.9", tmp_path / "builds", "https://mirror.example")
        progress("downloading bpy-4.9.1", 0.25)
        progress("unpacking bpy-4.9.1", None)
        return build

    monkeypatch.setattr(blenders, "install", install)
    scene, said = scene_of(tmp_path, fetch=True), []
    scene.on_change = lambda: said.append(scene.news)
    assert scene._build("4.9") == build
    assert said == ["downloading bpy-4.9.1, 25%", "unpacking bpy-4.9.1", ""]


def test_agent_stops_fetching_when_the_work_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()

    def install(version: str, folder: Path, *, progress, source) -> Build:
        while True:
            progress("downloading", None)
            begun.set()

    monkeypatch.setattr(warm.blenders, "install", install)
    scene = scene_of(tmp_path, fetch=True)
    ender = threading.Thread(target=lambda: (begun.wait(), scene.kill()))
    ender.start()
    with pytest.raises(BlenderError, match="no Blender is needed any more"):
        scene._build("4.9")
    ender.join()
    assert scene.news == ""
