"""An agent that lacks a Blender fetches it, when it may; the Blender is a small wheel, pip is real."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from blendnet.agent import blenders, warm
from blendnet.agent.blenders import Build
from blendnet.agent.warm import WarmScene
from blendnet.errors import BlenderError, BlenderMissing, BlenderUnfetched
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


class Hiccup:
    """An installation that fails some times; counts how often it was tried."""

    def __init__(self, error: Exception, times: int, build: Build) -> None:
        self.tries = 0
        self._error, self._times, self._build = error, times, build

    def __call__(self, version: str, folder: Path, *, progress, source) -> Build:
        self.tries += 1
        if self.tries <= self._times:
            raise self._error
        return self._build


@pytest.fixture
def hiccup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes the installation fail some times."""

    def make(error: Exception, times: int) -> Hiccup:
        install = Hiccup(error, times, Build("4.9.1", "binary", tmp_path / "blender"))
        monkeypatch.setattr(blenders, "install", install)
        return install

    return make


@pytest.fixture
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sum(warm.FETCH_PAUSES_S) > 30, "an outage of half a minute has to fit in"
    monkeypatch.setattr(warm, "FETCH_PAUSES_S", (0.0, 0.0))


@pytest.mark.usefixtures("_no_pauses")
def test_agent_fetches_again_what_the_network_kept_from_it(tmp_path: Path, hiccup) -> None:
    install = hiccup(BlenderUnfetched("no answer"), 2)
    scene, said = scene_of(tmp_path, fetch=True), []
    scene.on_change = lambda: said.append(scene.news)
    assert scene._build("4.9").version == "4.9.1"
    assert install.tries == 3
    again = ["Blender 4.9 could not be fetched: trying again in 0 s", "fetching Blender 4.9 again"]
    assert said == [*again, *again, ""]


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize(("error", "tries"), [(BlenderUnfetched("no answer"), 3), (BlenderMissing("no such one"), 1)])
def test_agent_gives_up_fetching(tmp_path: Path, hiccup, error: BlenderMissing, tries: int) -> None:
    install = hiccup(error, 9)
    with pytest.raises(BlenderMissing) as caught:
        scene_of(tmp_path, fetch=True)._build("4.9")
    assert (caught.value, install.tries) == (error, tries)


def test_agent_waits_no_longer_when_the_work_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hiccup) -> None:
    install = hiccup(BlenderUnfetched("no answer"), 9)
    monkeypatch.setattr(warm, "FETCH_PAUSES_S", (3600.0,))
    scene, waits = scene_of(tmp_path, fetch=True), threading.Event()
    scene.on_change = waits.set
    ender = threading.Thread(target=lambda: (waits.wait(), scene.kill()))
    ender.start()
    try:
        with pytest.raises(BlenderError, match="no Blender is needed any more"):
            scene._build("4.9")
    finally:
        waits.set()
        ender.join()
    assert install.tries == 1
