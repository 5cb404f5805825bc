"""Scenes that the tests of agents share."""

from __future__ import annotations

from pathlib import Path

import pytest

from blendnet.agent.blenders import Build
from tests.agent.render_scenes import MAKE_SCENE
from tests.agent.scripted import run_script


@pytest.fixture(scope="session")
def long_scene(bpy_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene for frames of as many samples as a test wants."""
    folder = tmp_path_factory.mktemp("long")
    run_script(bpy_build, MAKE_SCENE, folder, scene=folder / "scene.blend", two_layers=False)
    return folder / "scene.blend"
