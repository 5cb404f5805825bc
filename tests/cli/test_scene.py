"""Choosing the Blender that opens a scene."""

from __future__ import annotations

from pathlib import Path

import pytest

from blendnet.agent import blenders
from blendnet.cli import scene
from blendnet.settings import Settings


def test_program_named_by_its_path_becomes_known_to_the_agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "blender-2.83"
    program.write_text("#!/bin/sh\necho 'Blender 2.83.5'\n")
    program.chmod(0o755)
    settings = Settings(blenders_dir=tmp_path / "builds")
    monkeypatch.setattr(scene, "get_settings", lambda: settings)
    build = scene.find_build(str(program))
    assert blenders.find(build.version, settings.blenders_dir) == build
