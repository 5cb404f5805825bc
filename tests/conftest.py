"""Fixtures that every part of the suite shares: real Blender builds, scenes, and the order fast tests first."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from blendnet.agent import blenders

# Nothing of BlendNet is imported here: the process that shares the tests out needs none of it, and the others wait.
ROOT = Path(__file__).resolve().parent.parent
BLENDER_FIXTURES = {"bpy_build", "blender34", "any_build"}
THOROUGH_FIXTURES = {"live_kit", "rig", "postgres"}
"""Workers in processes of their own, and a PostgreSQL."""
YOUNG_OBJECTS_MAX = 100_000
"""So many objects come before Python looks for those of no use: with its own 700 that takes a tenth of all time."""

gc.set_threshold(YOUNG_OBJECTS_MAX)


def unavailable(what: str) -> None:
    """Skip at home, fail in CI: there everything has to be present."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="session", autouse=True)
def temporary_files_stay_together(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give programs that tests start and kill a folder for what they then leave behind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("t")))
        yield


@pytest.fixture(scope="session", autouse=True)
def nobody_waits_for_the_disk() -> Iterator[None]:
    """Leave what is written to the system, as the PostgreSQL of the tests does: no test cuts the power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def ledgers_share_their_statements() -> Iterator[None]:
    """Put every SQL statement together once, not once for each ledger."""
    from blendnet.manager.ledger import ledger
    from tests.manager.statements import sharing

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "make_engine", sharing(ledger.make_engine))
        yield


@pytest.fixture(scope="session")
def descriptions_of_aws() -> Iterator[None]:
    """Let boto3 read the descriptions of AWS' services once: it takes longer than all calls of most tests."""
    import botocore.session

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", cache(botocore.session.create_loader))
        yield


@pytest.fixture(scope="session")
def scenes_dir() -> Path:
    """Folder of .blend files made by others (BLENDNET_TEST_SCENES, else ../shared/scenes beside the project)."""
    folder = Path(os.environ.get("BLENDNET_TEST_SCENES") or ROOT.parent / "shared" / "scenes")
    if not (folder / "clevr_base_scene.blend").is_file():
        pytest.skip(f"no test scenes in {folder}; set BLENDNET_TEST_SCENES")
    return folder


@pytest.fixture(scope="session")
def bpy_build() -> blenders.Build:
    """The bpy 4.5 wheel that `make test` installs; another build if BLENDNET_TEST_BLENDER names one."""
    from blendnet.errors import BlenderMissing

    try:
        return _find_blender(os.environ.get("BLENDNET_TEST_BLENDER") or "4.5")
    except BlenderMissing as error:
        unavailable(str(error))
        raise


@pytest.fixture(scope="session")
def blender34() -> blenders.Build:
    """The distribution's own Blender binary (3.4 on Debian 12)."""
    path = shutil.which("blender")
    if path is None:
        unavailable("no blender on PATH: apt-get install blender")
    return _find_blender(path)


def _find_blender(what: str) -> blenders.Build:
    from blendnet.agent import blenders
    from blendnet.settings import get_settings

    return blenders.find(what, get_settings().blenders_dir)


@pytest.fixture(scope="session", params=["wheel-4.5", "binary-3.4"])
def any_build(request: pytest.FixtureRequest) -> blenders.Build:
    """Both Blender builds, one after the other."""
    return request.getfixturevalue("bpy_build" if request.param == "wheel-4.5" else "blender34")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests by what they start. Run the fast ones first; where processes share the tests, the long ones.

    Those are dealt out file by file: a long one at the end would leave one process alone with it.
    """
    _leave_out_matrix(config, items)
    for item in items:
        # Of a test with parameters these may be names of fixtures, and say which server it is about.
        uses = {*getattr(item, "fixturenames", ()), *_words(item)}
        if BLENDER_FIXTURES & uses:
            item.add_marker(pytest.mark.blender)
        if THOROUGH_FIXTURES & uses or "postgresql" in uses:
            item.add_marker(pytest.mark.thorough)
    items.sort(key=_cost, reverse=hasattr(config, "workerinput"))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What is there now stays: Python need not look at it again and again, nor for what of it is of no use."""
    gc.freeze()


def _words(item: pytest.Item) -> Iterable[str]:
    """Those among a test's parameters."""
    return (
        [value for value in item.callspec.params.values() if isinstance(value, str)]
        if hasattr(item, "callspec")
        else []
    )


def _leave_out_matrix(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the matrix of Blenders, hundreds of megabytes to install, to those who ask for it: `-m matrix`."""
    if "matrix" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("matrix")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _cost(item: pytest.Item) -> int:
    """0 without any mark of those that take long."""
    markers = ("thorough", "blender", "end_to_end")
    return max((cost for cost, name in enumerate(markers, 1) if item.get_closest_marker(name)), default=0)
