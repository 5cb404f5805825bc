"""Finding, registering, probing and installing Blender builds; the foreign programs are small shell scripts."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from blendnet.agent import blenders, wheels
from blendnet.agent.blenders import Build
from blendnet.errors import BlenderMissing


@pytest.fixture
def program(tmp_path: Path):
    """Makes a program that answers --version like the Blender it pretends to be."""

    def make(version: str, folder: str = "somewhere") -> Path:
        path = tmp_path / folder / "blender"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\necho 'Blender {version}'\n")
        path.chmod(0o755)
        return path

    return make


@pytest.fixture(autouse=True)
def _empty_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}/on_path:/usr/bin-without-blender:/bin-without-blender")


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("Blender 3.4.1\n\tbuild date: 2023", "3.4.1"),
        ("Blender 4.5.15 LTS", "4.5.15"),
        ("Blender 2.83.5\n", "2.83.5"),
        ("Blender 2.79 (sub 0)", "2.79.0"),
        ("Color management: using fallback mode\nBlender 4.3.2", "4.3.2"),
        ("bash: no such thing", None),
    ],
)
def test_parse_version_reads_what_each_generation_prints(output: str, version: str | None) -> None:
    assert blenders.parse_version(output) == version


@pytest.mark.parametrize(
    ("version", "wanted", "fits"),
    [("4.5.15", "4.5", True), ("4.5.15", "4.5.15", True), ("4.51.0", "4.5", False), ("4.5.1", "4.5.15", False)],
)
def test_matches_compares_whole_parts(version: str, wanted: str, fits: bool) -> None:
    assert blenders.matches(version, wanted) is fits


def test_command_of_a_binary_starts_it_without_window_preferences_and_scripts() -> None:
    command = Build("3.4.1", "binary", Path("/opt/blender")).command(Path("/x/inside.py"), 5, 6, threads=2)
    assert command[0] == "/opt/blender"
    assert {"--background", "--factory-startup", "--disable-autoexec"} < set(command)
    assert command[-6:] == ["--python", "/x/inside.py", "--", "5", "6", "2"]


def test_command_of_a_wheel_runs_its_python_isolated() -> None:
    command = Build("4.5.15", "wheel", Path("/b/bin/python")).command(Path("/x/inside.py"), 5, 6)
    assert command == ["/b/bin/python", "-I", "/x/inside.py", "--", "5", "6", "0"]


def test_find_takes_the_newest_registered_build_that_fits(tmp_path: Path, program) -> None:
    for version in ("4.2.1", "4.2.23", "4.3.0"):
        blenders.register(program(version, version), tmp_path)
    assert blenders.find("4.2", tmp_path).version == "4.2.23"
    assert blenders.find("4", tmp_path).version == "4.3.0"
    assert [build.version for build in blenders.known(tmp_path)] == ["4.3.0", "4.2.23", "4.2.1"]


def test_find_takes_blender_from_path(tmp_path: Path, program) -> None:
    path = program("3.6.5", "on_path")
    assert blenders.find("blender", tmp_path) == Build("3.6.5", "binary", path)
    assert blenders.find("3.6", tmp_path).path == path


def test_find_names_the_command_that_installs_a_version_nobody_has(tmp_path: Path) -> None:
    with pytest.raises(BlenderMissing, match=r"blendnet blender install 4\.5"):
        blenders.find("4.5", tmp_path)


@pytest.mark.parametrize("wanted", ["/nowhere/blender", "blender", "no-such-program"])
def test_find_refuses_a_program_that_is_not_there(wanted: str, tmp_path: Path) -> None:
    with pytest.raises(BlenderMissing, match="no Blender at"):
        blenders.find(wanted, tmp_path)


def test_probe_accepts_the_folder_that_holds_blender(tmp_path: Path, program) -> None:
    path = program("4.4.3")
    assert blenders.probe(path.parent) == Build("4.4.3", "binary", path)


def test_probe_notices_an_updated_program(program) -> None:
    assert blenders.probe(program("4.4.3")).version == "4.4.3"
    assert blenders.probe(program("4.5.0")).version == "4.5.0"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The programs that were started to tell their version."""
    paths: list[Path] = []
    probe = blenders.probe
    monkeypatch.setattr(blenders, "probe", lambda path: paths.append(path) or probe(path))
    return paths


def test_known_does_not_start_a_program_that_answered_not_long_ago(tmp_path: Path, program, asked: list[Path]) -> None:
    path = program("3.6.5", "on_path")
    for _ in range(3):
        assert blenders.known(tmp_path / "builds") == [Build("3.6.5", "binary", path)]
    assert asked == [path]


@pytest.mark.parametrize("memory", ["{", "[]", '{"PATH": {"stamp": 1}}', '{"PATH": null}'])
def test_known_asks_again_where_its_memory_is_damaged(tmp_path: Path, program, asked: list[Path], memory: str) -> None:
    path = program("3.6.5", "on_path")
    (tmp_path / blenders.PROBED_FILE).write_text(memory.replace("PATH", str(path)))
    assert blenders.known(tmp_path) == [Build("3.6.5", "binary", path)]
    assert asked == [path]


def test_known_asks_an_updated_program_again_and_an_old_answer_counts_no_more(
    tmp_path: Path, program, asked: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    program("3.6.5", "on_path")
    assert blenders.find("3.6", tmp_path).version == "3.6.5"
    program("3.6.15", "on_path")
    assert blenders.find("3.6", tmp_path).version == "3.6.15"
    assert len(asked) == 2
    later = time.time() + blenders.PROBED_MAX_AGE_S
    monkeypatch.setattr(blenders.time, "time", lambda: later)
    assert blenders.find("3.6", tmp_path).version == "3.6.15"
    assert len(asked) == 3


def test_known_asks_each_time_where_it_can_remember_nothing(tmp_path: Path, program, asked: list[Path]) -> None:
    path = program("3.6.5", "on_path")
    (tmp_path / "builds").write_text("a file where the folder should be")
    assert blenders._on_path(tmp_path / "builds") == [Build("3.6.5", "binary", path)]
    assert asked == [path]


def test_probe_refuses_a_program_that_is_no_blender(tmp_path: Path) -> None:
    path = tmp_path / "blender"
    path.write_text("#!/bin/sh\necho 'libX11.so.6: cannot open shared object file' >&2\nexit 127\n")
    path.chmod(0o755)
    with pytest.raises(BlenderMissing, match=r"libX11\.so\.6"):
        blenders.probe(path)


def test_known_leaves_out_a_registered_program_that_is_gone(tmp_path: Path, program) -> None:
    path = program("4.4.3")
    blenders.register(path, tmp_path / "builds")
    path.unlink()
    assert blenders.known(tmp_path / "builds") == []


def test_known_says_which_file_is_damaged(tmp_path: Path) -> None:
    (tmp_path / blenders.KNOWN_FILE).write_text("{")
    with pytest.raises(BlenderMissing, match=r"known\.json is damaged"):
        blenders.known(tmp_path)


def test_installed_ignores_an_unfinished_installation(tmp_path: Path) -> None:
    for name in ("bpy-4.5.15", ".partial-1-x", "bpy-broken"):
        (tmp_path / name / "bin").mkdir(parents=True)
        (tmp_path / name / "bin" / "python").touch()
    assert [build.version for build in blenders.installed(tmp_path)] == ["4.5.15"]


def test_install_refuses_what_is_no_version(tmp_path: Path) -> None:
    with pytest.raises(BlenderMissing, match="not a version"):
        blenders.install("newest", tmp_path, progress=lambda _text, _share: None)


@pytest.mark.parametrize(
    ("version", "python"), [("3.6", "3.10"), ("4.1", "3.11"), ("4.5.15", "3.11"), ("5.0", "3.11"), ("5.1.0", "3.13")]
)
def test_python_of_wheel_knows_what_each_wheel_is_made_for(version: str, python: str) -> None:
    assert wheels.python_of_wheel(version) == python


def test_install_says_which_python_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(BlenderMissing, match=r"needs Python 3\.13, which is not on PATH"):
        wheels.install("5.1", tmp_path, progress=lambda _text, _share: None)


def test_missing_libraries_become_one_command() -> None:
    names = wheels.missing_libraries(
        "\tlinux-vdso.so.1 (0x00007ffe)\n\tlibX11.so.6 => not found\n\tlibm.so.6 => /lib/libm.so.6 (0x0)\n"
        "\tlibXi.so.6 => not found\n\tlibodd.so.9 => not found\n"
    )
    assert names == ["libX11.so.6", "libXi.so.6", "libodd.so.9"]
    message = wheels.missing_libraries_message(names)
    assert "apt-get install --no-install-recommends libx11-6 libxi6" in message
    assert "libodd.so.9" in message


def test_download_size_reads_pips_line_about_blender_alone() -> None:
    line = "  Downloading bpy-4.5.15-cp311-cp311-manylinux_2_28_x86_64.whl (372.8 MB)"
    assert wheels.download_size(line) == ("bpy-4.5.15", 372_800_000)
    assert wheels.download_size("  Downloading numpy-1.26.4-cp311.whl (18.3 MB)") is None


def test_install_removes_what_a_dead_installation_left(tmp_path: Path) -> None:
    # A container that starts again has the same process ids.
    abandoned = [tmp_path / ".partial-999999999-x", tmp_path / f".partial-{os.getpid()}-x"]
    for folder in abandoned:
        folder.mkdir()
    with pytest.raises(BlenderMissing):
        wheels.install("5.1", tmp_path, progress=lambda _text, _share: None)
    assert not any(folder.exists() for folder in abandoned)


def test_installations_leave_each_other_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others = tmp_path / f".partial-{os.getppid()}-x"
    others.mkdir()
    monkeypatch.chdir(tmp_path)
    with wheels.partial_build(tmp_path) as first, wheels.partial_build(Path()) as second:
        assert first.is_dir()
        assert second.is_dir()
        assert others.is_dir()
    assert list(tmp_path.iterdir()) == [others]
