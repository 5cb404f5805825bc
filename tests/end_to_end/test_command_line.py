"""A user's way through the command line: what it prints, what it leaves behind, what it refuses."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from blendnet.agent.blenders import Build
from tests.end_to_end import farms

pytestmark = pytest.mark.end_to_end


def start_render(*args: str | Path) -> subprocess.Popen[str]:
    """A `blendnet render` that runs on its own, its output captured."""
    command = [str(Path(sys.executable).with_name("blendnet")), "render", *map(str, args)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_heed_ctrl_c,
    )


def _heed_ctrl_c() -> None:
    """A shell lets what it starts in the background ignore Ctrl-C, and so do that program's children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="session")
def slow_scene(scenes_dir: Path, bpy_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene that renders for a minute or so: time enough to interrupt it."""
    source = scenes_dir / "clevr_base_scene.blend"
    target = tmp_path_factory.mktemp("slow") / "slow.blend"
    return farms.prepare(bpy_build, source, target, size=(320, 240), samples=2000)


def test_render_writes_the_scenes_own_files_when_no_output_is_given(farm: Path, clevr: Path) -> None:
    result = farms.blendnet("render", clevr, "--data", farm, "--frames", "1-3", "--samples", "4", "--json")
    assert result.code == 0, result.err
    assert {path.name for path in (clevr.parent / "out").glob("frame_000?.png")} == {
        "frame_0001.png", "frame_0002.png", "frame_0003.png",
    }  # fmt: skip
    assert [frame["samples"] for frame in result.json["frames"]] == [4, 4, 4]
    assert result.json["exactness"] == "exact"


def test_negative_frames_are_rendered(farm: Path, clevr: Path, tmp_path: Path) -> None:
    result = farms.blendnet(
        "render", clevr, "--data", farm, "--frames=-2--1", "--samples", "2", "--output", tmp_path, "--json"
    )
    assert result.code == 0, result.err
    assert [frame["frame"] for frame in result.json["frames"]] == [-2, -1]
    assert all(Path(path).is_file() for frame in result.json["frames"] for path in frame["outputs"])


def test_one_sample_is_one_chunk(farm: Path, clevr: Path, tmp_path: Path) -> None:
    result = farms.blendnet(
        "render", clevr, "--data", farm, "--frames", "1", "--samples", "1", "--output", tmp_path, "--json"
    )
    assert result.code == 0, result.err
    assert (result.json["frames"][0]["samples"], result.json["frames"][0]["chunks"]) == (1, 1)


def test_render_uses_a_farm_that_is_up_and_status_shows_it(farm: Path) -> None:
    status = farms.blendnet("status", "--data", farm, "--json").json
    roles = {process["role"] for process in status["processes"]}
    assert {"api", "redis", "control", "agent"} <= roles
    assert all(psutil.pid_exists(process["pid"]) for process in status["processes"])
    assert status["manager"]["url"].startswith("https://")
    assert Path(status["manager"]["password_file"]).stat().st_mode & 0o777 == 0o600


def test_celery_inspect_sees_the_agents(farm: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "blendnet.celery_app", "inspect", "ping", "--json"],
        env={"PATH": "/usr/bin:/bin", "BLENDNET_DATA": str(farm)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "pong" in done.stdout


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "not a .blend"), (b"hello world, no scene", "not a .blend"), (b"BLENDER-v300", "")]
)
def test_render_refuses_what_is_no_scene(farm: Path, tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.blend"
    path.write_bytes(content)
    result = farms.blendnet("render", path, "--data", farm, "--output", tmp_path / "o")
    assert result.code != 0
    assert "bad.blend" in result.err
    assert message in result.err
    assert "Traceback" not in result.err


def test_render_refuses_a_truncated_scene(farm: Path, clevr: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.blend"
    path.write_bytes(clevr.read_bytes()[:200_000])
    result = farms.blendnet("render", path, "--data", farm, "--output", tmp_path / "o")
    assert result.code != 0
    assert "cut.blend" in result.err
    assert "Traceback" not in result.err


def test_render_names_missing_files_before_anything_renders(farm: Path, linked_group: Path, tmp_path: Path) -> None:
    lonely = tmp_path / "lonely.blend"
    lonely.write_bytes(linked_group.read_bytes())
    result = farms.blendnet("render", lonely, "--data", farm, "--output", tmp_path / "o", "--json")
    assert result.code != 0
    assert "pin.blend" in result.err + result.out
    assert not (tmp_path / "o").exists() or not any((tmp_path / "o").iterdir())


def test_render_refuses_a_scene_without_camera(farm: Path, bpy_build: Build, scenes_dir: Path, tmp_path: Path) -> None:
    scene = farms.prepare(
        bpy_build,
        scenes_dir / "clevr_base_scene.blend",
        tmp_path / "blind.blend",
        size=(32, 32),
        samples=1,
        no_camera=True,
    )
    result = farms.blendnet("render", scene, "--data", farm, "--output", tmp_path / "o")
    assert result.code != 0
    assert "camera" in result.err


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["--frames", "5-1x0"], "5-1x0"), (["--frames", ""], "frames"), (["--samples", "0"], "samples"),
        (["--blender", "1.99"], "1.99"), (["--output", "/proc/nothing/here"], "/proc/nothing"),
    ],
    ids=["frames", "no-frames", "samples", "blender", "output"],
)  # fmt: skip
def test_render_refuses_bad_input_with_a_clear_message(farm: Path, clevr: Path, args: list[str], word: str) -> None:
    result = farms.blendnet("render", clevr, "--data", farm, *args)
    assert result.code != 0
    assert word in result.err
    assert "Traceback" not in result.err


def test_ctrl_c_cancels_the_job_and_leaves_nothing_running(slow_scene: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    process = start_render(slow_scene, "--data", data, "--agents", "1", "--output", tmp_path / "o", "--json")
    try:
        farms.wait_until(lambda: _blender_renders(data), "a Blender of the farm renders", 90)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=40)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode != 0
    farms.wait_until(lambda: not farms.processes_mentioning(data), "everything of the farm ended", 20)


def test_killed_command_ends_its_private_farm(slow_scene: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    process = start_render(slow_scene, "--data", data, "--agents", "1", "--output", tmp_path / "o")
    try:
        farms.wait_until(lambda: _blender_renders(data), "a Blender of the farm renders", 90)
    finally:
        process.kill()
        process.communicate()
    farms.wait_until(lambda: not farms.processes_mentioning(data), "everything of the farm ended", 30)


def test_interrupted_render_resumes_without_rendering_finished_frames_again(clevr: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    first = start_render(
        clevr,
        "--data",
        data,
        "--agents",
        "1",
        "--samples",
        "600",
        "--frames",
        "1-3",
        "--output",
        tmp_path / "o",
        "--json",
    )
    try:
        farms.wait_until(lambda: list((tmp_path / "o").glob("*0001.png")), "the first frame came home", 120)
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=40)
    finally:
        first.kill()
        first.communicate()
    jobs = farms.blendnet("job", "list", "--data", data, "--json")
    up = farms.blendnet("up", "--data", data, "--agents", "1")
    assert up.code == 0, up.err
    try:
        jobs = farms.blendnet("job", "list", "--data", data, "--json").json
        again = farms.blendnet(
            "render", "--resume", jobs[0]["id"], "--data", data, "--output", tmp_path / "o", "--json"
        )
    finally:
        farms.blendnet("down", "--data", data)
    assert again.code == 0, again.err
    assert [frame["state"] for frame in again.json["frames"]] == ["completed"] * 3
    assert len(list((tmp_path / "o").glob("frame_*.png"))) == 3


def _blender_renders(data: Path) -> bool:
    """True when a Blender of the farm has used some processor time beyond its start."""
    for process in farms.processes_mentioning(data):
        try:
            if "inside.py" in " ".join(process.cmdline()) and process.cpu_times().user > 6:
                return True
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return False
