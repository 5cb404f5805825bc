"""The zip: what is in it, and that it is the same every time."""

from __future__ import annotations

import ast
import io
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from addon import build, wheel
from addon.blendnet_addon import bl_info
from blendnet import __version__

INFO = f"blendnet-{__version__}.dist-info"
SOURCES = sorted(build.ADDON.rglob("*.py"))
ALLOWED = sys.stdlib_module_names | {"bpy"}
"""What the add-on may import beside its own files."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    path = tmp_path_factory.mktemp("zip") / "addon.zip"
    build.build(path)
    return zipfile.ZipFile(path)


def test_zip_is_the_same_every_time(tmp_path: Path) -> None:
    sums = {build.build(tmp_path / name / "addon.zip") for name in ("one", "two")}
    assert len(sums) == 1
    assert (tmp_path / "one" / "addon.zip").read_bytes() == (tmp_path / "two" / "addon.zip").read_bytes()


def test_zip_has_one_folder_with_both_descriptions(archive: zipfile.ZipFile) -> None:
    names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"blendnet_addon"}
    assert {"blendnet_addon/__init__.py", "blendnet_addon/blender_manifest.toml", "blendnet_addon/LICENSE"} <= set(
        names
    )
    assert all(info.date_time == wheel.FIXED_TIME for info in archive.infolist())


def test_zip_holds_the_agents_collector_and_all_that_it_imports(archive: zipfile.ZipFile) -> None:
    inside = {Path(name).stem for name in archive.namelist() if "/in_blender/" in name}
    assert {"dependencies", "describe", "patterns", "file_sets", "simulations"} <= inside
    for name in inside:
        source = archive.read(f"blendnet_addon/in_blender/{name}.py")
        assert source == (build.SHARED / f"{name}.py").read_bytes()
        assert set(build._siblings(build.SHARED / f"{name}.py")) <= inside


def test_zip_brings_the_command_as_a_wheel_with_all_its_files(archive: zipfile.ZipFile) -> None:
    data = archive.read(f"blendnet_addon/program/{wheel.NAME}")
    assert archive.read("blendnet_addon/program/requirements.lock") == (build.ROOT / "requirements.lock").read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as inside:
        names = set(inside.namelist())
        record, scripts = (inside.read(f"{INFO}/{name}").decode() for name in ("RECORD", "entry_points.txt"))
    assert "blendnet = blendnet.cli:main" in scripts
    assert {line.split(",")[0] for line in record.splitlines()} == names
    tracked = {path for path in (build.ROOT / "blendnet").rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert {path.relative_to(build.ROOT).as_posix() for path in tracked} <= names


def test_both_descriptions_name_the_same_version() -> None:
    manifest = tomllib.loads((build.ADDON / "blender_manifest.toml").read_text("utf-8"))
    assert manifest["version"] == ".".join(map(str, bl_info["version"])) == __version__
    for text in (manifest["tagline"], *manifest["permissions"].values()):
        assert text[-1].isalnum()
        assert len(text) <= 64


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(build.ADDON).as_posix())
def test_file_is_short_and_stands_alone(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = {(node.module or "").split(".")[0]}
        else:
            continue
        assert names <= ALLOWED, names - ALLOWED
        assert not (path.parent.name == "lib" and "bpy" in names)
