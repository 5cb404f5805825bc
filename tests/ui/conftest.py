"""What tests of a window share: the Blenders that have one, a screen, the add-on's zip, the `blendnet` command."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from addon import build
from blendnet.agent.blenders import Build
from tests.conftest import unavailable
from tests.end_to_end import debians
from tests.ui.window import screen

PROGRAMS = ("Xvfb", "openbox", "xdotool", "xwininfo", "import")
PICTURES = os.environ.get("BLENDNET_PICTURES")
"""Folder for the pictures of the documentation; unset: they are thrown away."""
HERE = "3.4"
"""The series of this Debian's Blender."""


@pytest.fixture(
    scope="module", params=[HERE, *(pytest.param(series, marks=pytest.mark.matrix) for series in debians.SUITES)]
)
def window_build(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    """Every Blender that has a window here: the distribution's own, with `make matrix` those of other Debians."""
    if request.param == HERE:
        yield request.getfixturevalue("blender34")
        return
    with pytest.MonkeyPatch.context() as patch:
        # The add-on makes its Blender known: not to the farms of whoever runs the tests.
        patch.setenv("BLENDNET_BLENDERS_DIR", str(tmp_path_factory.mktemp("blenders")))
        yield debians.find(request.param)


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """The DISPLAY of a screen."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        unavailable(f"no {', '.join(missing)}: see TEST_PACKAGES in the Makefile")
    with screen() as display:
        yield display


@pytest.fixture(scope="module")
def path_with_blendnet(window_build: Build, tmp_path_factory: pytest.TempPathFactory) -> str:
    """PATH with the command and nothing else of its environment: Debian's Blender would take its Python from there."""
    folder = tmp_path_factory.mktemp("bin")
    command = debians.reachable(Path(sys.executable).with_name("blendnet"), window_build, folder)
    if command.parent != folder:
        (folder / "blendnet").symlink_to(command)
    own = str(Path(sys.executable).parent)
    return os.pathsep.join([str(folder), *(p for p in os.environ["PATH"].split(os.pathsep) if p != own)])


@pytest.fixture(scope="session")
def zip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The add-on as it is shipped."""
    path = tmp_path_factory.mktemp("zip") / "blendnet_addon.zip"
    build.build(path)
    return path


@pytest.fixture
def pictures(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where photographs go: to the documentation when asked, from this Debian's Blender alone."""
    wanted = PICTURES and request.getfixturevalue("window_build").version.startswith(HERE)
    return Path(PICTURES or "") if wanted else tmp_path
