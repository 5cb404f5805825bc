"""Rendering chunks with a real Blender; only the HTTP boundary is a recording."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from blendnet.agent import uploads
from blendnet.agent.attempt import Outcome
from blendnet.agent.blenders import Build
from blendnet.agent.render import render_chunk
from blendnet.agent.shutdown import Shutdown
from blendnet.agent.slot import Slot
from blendnet.errors import LeaseLost, ManagerFull, ManagerUnreachable, StoreRefused, StoreUnreachable
from blendnet.merge import exr
from blendnet.merge.ranges import layer_range
from blendnet.messages import ChunkAnswer, ChunkClaim, LayerSamples, SceneFiles
from blendnet.models import Action
from blendnet.settings import Settings
from tests.agent.recording import GO_ON, RecordingManager, scene_files
from tests.agent.render_scenes import MAKE_SCENE
from tests.agent.scripted import run_script

SAMPLES = 24
SECOND_SAMPLES = 6
LAYERS = [LayerSamples(name="Main", samples=SAMPLES), LayerSamples(name="Second", samples=SECOND_SAMPLES)]
LONG_SAMPLES = 1 << 20
"""Takes minutes: such a chunk never ends by itself within a test."""
DEADLINE_S = 60.0


@pytest.fixture(scope="session")
def layered_scene(bpy_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two view layers, the second with fewer samples."""
    folder = tmp_path_factory.mktemp("layered")
    scene = folder / "scene.blend"
    run_script(bpy_build, MAKE_SCENE, folder, scene=scene, samples=SAMPLES, second_samples=SECOND_SAMPLES)
    return scene


@pytest.fixture(scope="module")
def warm_slot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slot]:
    """One agent for the tests that leave it as they found it."""
    folder = tmp_path_factory.mktemp("agent")
    with Slot(Settings(agent_name="agent-1", agent_dir=folder), RecordingManager(folder)) as slot:  # type: ignore[arg-type]
        yield slot


@pytest.fixture
def manager(tmp_path: Path) -> RecordingManager:
    folder = tmp_path / "kept"
    folder.mkdir()
    return RecordingManager(folder)


@pytest.fixture
def slot(warm_slot: Slot, manager: RecordingManager) -> Slot:
    """The warm agent, talking to this test's Manager."""
    warm_slot.client = manager  # type: ignore[assignment]
    warm_slot.shutdown = Shutdown()
    warm_slot._sample_s.clear()
    return warm_slot


@pytest.fixture
def files(manager: RecordingManager, layered_scene: Path, bpy_build: Build) -> SceneFiles:
    return scene_files(manager, layered_scene, blender=bpy_build.version, layers=LAYERS)


@pytest.fixture
def long_files(manager: RecordingManager, layered_scene: Path, bpy_build: Build) -> SceneFiles:
    """The same scene with far too many samples."""
    layers = [LayerSamples(name=layer.name, samples=LONG_SAMPLES) for layer in LAYERS]
    return scene_files(manager, layered_scene, blender=bpy_build.version, layers=layers)


def _claim(files: SceneFiles, left: list[tuple[int, int]], **values: object) -> ChunkClaim:
    defaults = {"state": "render", "token": 7, "frame": 2, "samples": SAMPLES, "scene": files}
    return ChunkClaim(**(defaults | {"left": left} | values))


def _merged(segments: list[tuple[int, int, Path]]) -> dict[str, np.ndarray]:
    """Combined of both layers, merged over the segments."""
    totals: dict[str, np.ndarray] = {}
    for offset, count, path in segments:
        channels = exr.read(path).channels
        for layer in LAYERS:
            _, weight = layer_range(offset, count, SAMPLES, layer.samples)
            for name in (f"{layer.name}.Combined.{component}" for component in "RGB") if weight else ():
                totals[name] = totals.get(name, 0) + channels[name] * (weight / layer.samples)
    return totals


def test_chunks_rendered_in_sub_passes_add_up_to_one_call(
    slot: Slot, manager: RecordingManager, files: SceneFiles
) -> None:
    manager.claims["whole"] = _claim(files, [(0, SAMPLES)], one_call=True)
    assert render_chunk(slot, "whole") is Outcome.DONE
    whole, manager.segments = manager.segments, []
    for offset, count in [(0, 5), (5, 1), (6, 18)]:
        manager.claims["part"] = _claim(files, [(offset, count)], sub_pass_s=0.02)
        assert render_chunk(slot, "part") is Outcome.DONE
    assert [(offset, count) for offset, count, _ in whole] == [(0, SAMPLES)]
    assert [(offset, count) for offset, count, _ in manager.segments] == [(0, 5), (5, 1), (6, 18)]
    expected, found = _merged(whole), _merged(manager.segments)
    assert len(expected) == len(LAYERS) * 3
    for name, plane in expected.items():
        np.testing.assert_allclose(found[name], plane, atol=2e-5, rtol=5e-6, err_msg=name)


def test_chunk_sends_a_preview_after_its_first_sub_pass(
    slot: Slot, manager: RecordingManager, files: SceneFiles
) -> None:
    manager.claims["c"] = _claim(files, [(0, SAMPLES)])
    render_chunk(slot, "c", task="task-1")
    assert manager.requests[-1].model_dump() == {"agent": "agent-1", "task": "task-1"}
    assert [call for call in manager.calls if call != "heartbeat"] == ["preview", "commit", "done"]
    samples, path = manager.previews[0]
    assert samples == 1
    picture = exr.read(path)
    assert sorted(picture.channels) == ["A", "B", "G", "R"]
    assert (picture.header.width, picture.header.height) == (96, 54)


def test_chunk_renders_only_what_is_left_of_it(slot: Slot, manager: RecordingManager, files: SceneFiles) -> None:
    manager.claims["c"] = _claim(files, [(2, 3), (10, 4)], sample_s=0.001)
    assert render_chunk(slot, "c") is Outcome.DONE
    assert [(offset, count) for offset, count, _ in manager.segments] == [(2, 3), (10, 4)]
    assert manager.reports[0].samples == 7


def test_chunk_report_tells_loading_from_rendering(slot: Slot, manager: RecordingManager, files: SceneFiles) -> None:
    slot.warm.close()
    for name in ("cold", "warm"):
        manager.claims[name] = _claim(files, [(0, SAMPLES)])
        render_chunk(slot, name)
    cold, warm = manager.reports
    assert cold.load_s > 0
    assert warm.load_s == 0
    assert cold.render_s > 0
    assert slot.sample_s(files.job) == pytest.approx(warm.render_s / SAMPLES)


def test_chunk_leaves_no_files_behind(slot: Slot, manager: RecordingManager, files: SceneFiles) -> None:
    manager.claims["c"] = _claim(files, [(0, SAMPLES)], sub_pass_s=0.05, preview_interval_s=0.0)
    render_chunk(slot, "c")
    assert list(slot.scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("state", "outcome"), [("done", Outcome.DONE), ("later", Outcome.DROPPED), ("canceled", Outcome.DROPPED)]
)
def test_chunk_is_left_alone_when_there_is_nothing_to_render(
    slot: Slot, manager: RecordingManager, state: str, outcome: Outcome
) -> None:
    manager.claims["c"] = ChunkClaim(state=state)
    assert render_chunk(slot, "c") is outcome
    assert render_chunk(slot, "unknown") is Outcome.DROPPED
    assert manager.calls == []


def test_chunk_commits_and_gives_back_the_rest_when_its_job_is_paused(
    slot: Slot, manager: RecordingManager, files: SceneFiles
) -> None:
    manager.on_call = lambda name: ChunkAnswer(action=Action.PAUSE) if name == "preview" else GO_ON
    manager.claims["c"] = _claim(files, [(0, SAMPLES)], sub_pass_s=0.01)
    assert render_chunk(slot, "c") is Outcome.DROPPED
    assert [failure.kind for failure in manager.failures] == ["interrupted"]
    ((offset, count, _),) = manager.segments
    assert offset == 0
    assert 1 <= count < SAMPLES


def test_chunk_ends_early_and_says_so_at_once_when_the_manager_shortens_it(
    slot: Slot, manager: RecordingManager, files: SceneFiles
) -> None:
    promised = threading.Event()

    def shorten(name: str) -> ChunkAnswer:
        if name == "heartbeat" and manager.ends[-1] is not None:
            promised.set()
        if name == "commit":
            assert promised.wait(DEADLINE_S)
        return ChunkAnswer(action=Action.STOP, stop_at=9) if name == "preview" else GO_ON

    manager.on_call = shorten
    manager.claims["c"] = _claim(files, [(0, SAMPLES)], sample_s=1.0, sub_pass_s=2.0, preview_interval_s=0.0)
    slot.warm.close()
    assert render_chunk(slot, "c") is Outcome.DONE
    rendered = sum(count for _, count, _ in manager.segments)
    assert rendered in range(9, SAMPLES)
    assert manager.reports[0].samples == rendered
    assert manager.ends[-1] == rendered


def test_chunk_stops_a_long_render_call_when_its_job_is_canceled(
    slot: Slot, manager: RecordingManager, long_files: SceneFiles
) -> None:
    manager.on_call = lambda name: ChunkAnswer(action=Action.CANCEL) if name == "heartbeat" else GO_ON
    manager.claims["c"] = _claim(long_files, [(0, LONG_SAMPLES)], samples=LONG_SAMPLES, one_call=True, lease_s=1.0)
    started = time.monotonic()
    assert render_chunk(slot, "c") is Outcome.DROPPED
    assert time.monotonic() - started < DEADLINE_S
    assert manager.segments == []
    assert manager.failures == []
    assert slot.warm.pid is None


def test_chunk_stops_when_somebody_else_owns_it(slot: Slot, manager: RecordingManager, files: SceneFiles) -> None:
    def lose(name: str) -> ChunkAnswer:
        if name in ("preview", "commit"):
            raise LeaseLost("token 7 is old")
        return GO_ON

    manager.on_call = lose
    manager.claims["c"] = _claim(files, [(0, SAMPLES)], sub_pass_s=0.01)
    assert render_chunk(slot, "c") is Outcome.DROPPED
    assert manager.segments == []
    assert manager.reports == []
    assert manager.failures == []


def test_chunk_gives_back_what_it_has_when_the_agent_ends(
    slot: Slot, manager: RecordingManager, long_files: SceneFiles
) -> None:
    def end(name: str) -> ChunkAnswer:
        if name == "preview":
            slot.shutdown.set()
        return GO_ON

    manager.on_call = end
    manager.claims["c"] = _claim(long_files, [(0, LONG_SAMPLES)], samples=LONG_SAMPLES, sub_pass_s=2.0)
    assert render_chunk(slot, "c") is Outcome.INTERRUPTED
    assert [failure.kind for failure in manager.failures] == ["interrupted"]
    ((offset, count, _),) = manager.segments
    assert offset == 0
    assert count >= 1
    assert render_chunk(slot, "c") is Outcome.INTERRUPTED
    assert len(manager.requests) == 1


@pytest.mark.parametrize(
    "error",
    [ManagerUnreachable("restarting"), ManagerFull("no space left"), StoreUnreachable("away"), StoreRefused("full")],
    ids=repr,
)
def test_chunk_is_committed_after_the_manager_could_not_take_it(
    slot: Slot, manager: RecordingManager, files: SceneFiles, error: Exception
) -> None:
    def away_twice(name: str) -> ChunkAnswer:
        if name == "commit" and manager.calls.count("commit") <= 2:
            raise error
        return GO_ON

    manager.on_call = away_twice
    manager.claims["c"] = _claim(files, [(0, SAMPLES)])
    assert render_chunk(slot, "c") is Outcome.DONE
    assert [(offset, count) for offset, count, _ in manager.segments] == [(0, SAMPLES)]
    assert manager.failures == []


@pytest.mark.parametrize("error", [ManagerFull("no space left"), StoreUnreachable("away")], ids=repr)
def test_chunk_is_given_back_when_the_manager_cannot_take_it_for_long(
    slot: Slot, manager: RecordingManager, files: SceneFiles, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(name: str) -> ChunkAnswer:
        if name == "commit":
            raise error
        return GO_ON

    monkeypatch.setattr(uploads.patiently, "__kwdefaults__", {"patience_s": 0.1})
    manager.on_call = full
    manager.claims["c"] = _claim(files, [(0, SAMPLES)])
    assert render_chunk(slot, "c") is Outcome.DROPPED
    assert [(failure.kind, failure.message) for failure in manager.failures] == [("interrupted", str(error))]


def test_chunk_reports_a_crash_keeps_what_was_rendered_and_goes_on_with_a_fresh_blender(
    slot: Slot, manager: RecordingManager, files: SceneFiles, long_files: SceneFiles
) -> None:
    def kill(name: str) -> ChunkAnswer:
        if name == "preview" and slot.warm.pid and not manager.failures:
            psutil.Process(slot.warm.pid).kill()
        return GO_ON

    manager.on_call = kill
    manager.claims["c"] = _claim(long_files, [(0, LONG_SAMPLES)], samples=LONG_SAMPLES, sub_pass_s=5.0)
    assert render_chunk(slot, "c") is Outcome.DROPPED
    assert [failure.kind for failure in manager.failures] == ["crash"]
    assert "SIGKILL" in manager.failures[0].message
    assert manager.failures[0].progress.endswith(f" of {LONG_SAMPLES} samples")
    assert (manager.failures[0].peak_memory_bytes or 0) > 50 << 20
    assert manager.segments[0][0] == 0
    assert list(slot.scratch.iterdir()) == []
    manager.claims["next"] = _claim(files, [(0, SAMPLES)])
    assert render_chunk(slot, "next") is Outcome.DONE


def test_chunk_fails_with_a_reason_when_the_scene_is_no_blend(
    slot: Slot, manager: RecordingManager, files: SceneFiles, tmp_path: Path
) -> None:
    text = tmp_path / "scene.blend"
    text.write_text("not a scene")
    manager.claims["c"] = _claim(scene_files(manager, text, blender=files.blender, layers=LAYERS), [(0, SAMPLES)])
    assert render_chunk(slot, "c") is Outcome.DROPPED
    assert [(failure.kind, failure.token) for failure in manager.failures] == [("scene", 7)]
    assert "not a .blend" in manager.failures[0].message
    manager.claims["next"] = _claim(files, [(0, SAMPLES)])
    assert render_chunk(slot, "next") is Outcome.DONE


def test_chunk_fails_with_a_reason_when_its_blender_is_not_installed(
    slot: Slot, manager: RecordingManager, files: SceneFiles
) -> None:
    manager.claims["c"] = _claim(files.model_copy(update={"blender": "1.0.0"}), [(0, SAMPLES)])
    assert render_chunk(slot, "c") is Outcome.DROPPED
    assert manager.failures[0].kind == "missing"
    assert "blendnet blender install 1.0.0" in manager.failures[0].message


def test_chunk_fails_with_the_device_that_is_not_there(
    slot: Slot, manager: RecordingManager, files: SceneFiles
) -> None:
    if any(device.startswith("CUDA") for device in slot.warm.devices):
        pytest.skip("this machine has CUDA")
    manager.claims["c"] = _claim(files.model_copy(update={"device": "CUDA"}), [(0, SAMPLES)])
    assert render_chunk(slot, "c") is Outcome.DROPPED
    assert manager.failures[0].kind == "device"
    assert "CUDA" in manager.failures[0].message
    assert "offers only CPU: choose one of these with --device" in manager.failures[0].message
    manager.claims["next"] = _claim(files, [(0, SAMPLES)])
    assert render_chunk(slot, "next") is Outcome.DONE


def test_chunk_fails_with_a_reason_when_a_file_is_gone(
    slot: Slot, manager: RecordingManager, files: SceneFiles, tmp_path: Path
) -> None:
    lost = tmp_path / "scene.blend"
    lost.write_text("other content")
    claim = _claim(scene_files(manager, lost, blender=files.blender, layers=LAYERS), [(0, SAMPLES)])
    manager.blobs.clear()
    manager.claims["c"] = claim
    assert render_chunk(slot, "c") is Outcome.DROPPED
    assert manager.failures[0].kind == "files"


def _limited(folder: Path, manager: RecordingManager, **limits: float) -> Slot:
    return Slot(Settings(agent_name="agent-1", agent_dir=folder / "limited", **limits), manager)  # type: ignore[arg-type]


def test_chunk_reports_its_last_progress_when_blender_stops_showing_signs_of_life(
    manager: RecordingManager, long_files: SceneFiles, tmp_path: Path
) -> None:
    with _limited(tmp_path, manager, blender_stall_s=2.0) as slot:

        def freeze(name: str) -> ChunkAnswer:
            if name == "preview" and slot.warm.pid:
                psutil.Process(slot.warm.pid).suspend()
            return GO_ON

        manager.on_call = freeze
        manager.claims["c"] = _claim(long_files, [(5, 1000)], samples=LONG_SAMPLES, done=5, sub_pass_s=5.0)
        assert render_chunk(slot, "c") is Outcome.DROPPED
        assert slot.warm.pid is None
    [failure] = manager.failures
    assert failure.kind == "timeout"
    assert "used no processor time for 2 s during 'render'" in failure.message
    rendered = sum(count for _, count, _ in manager.segments)
    assert rendered >= 1
    assert int(failure.progress.split()[0]) >= 5 + rendered
    assert failure.progress.endswith(" of 1005 samples")


def test_chunk_ends_at_its_hard_limit_and_keeps_what_was_rendered(
    manager: RecordingManager, long_files: SceneFiles, tmp_path: Path
) -> None:
    with _limited(tmp_path, manager, chunk_timeout_s=8.0) as slot:
        manager.claims["c"] = _claim(long_files, [(0, LONG_SAMPLES)], samples=LONG_SAMPLES, sub_pass_s=0.5)
        assert render_chunk(slot, "c") is Outcome.DROPPED
    assert [failure.kind for failure in manager.failures] == ["timeout"]
    assert manager.segments


def test_agent_that_gets_no_work_takes_no_message_for_a_while(slot: Slot, manager: RecordingManager) -> None:
    manager.claims["c"] = ChunkClaim(state="later", wait_s=0.3)
    started = time.monotonic()
    assert render_chunk(slot, "c") is Outcome.DROPPED
    assert time.monotonic() - started >= 0.3
    slot.shutdown.set()
    manager.claims["c"] = ChunkClaim(state="later", wait_s=DEADLINE_S)
    assert render_chunk(slot, "c") is Outcome.INTERRUPTED
