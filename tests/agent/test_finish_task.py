"""Finishing frames and encoding videos with a real Blender; only the HTTP boundary is a recording."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blendnet.agent.attempt import Outcome
from blendnet.agent.blenders import Build
from blendnet.agent.blob_cache import BlobCache
from blendnet.agent.finish import encode_job, finish_frame
from blendnet.agent.render import render_chunk
from blendnet.agent.slot import Slot
from blendnet.errors import LeaseLost
from blendnet.merge import exr
from blendnet.messages import (
    Blob,
    ChunkAnswer,
    ChunkClaim,
    EncodeClaim,
    FinishClaim,
    LayerSamples,
    ResultView,
    SceneFiles,
)
from blendnet.settings import Settings
from blendnet.storage.files import FileStore
from tests.agent.recording import GO_ON, RecordingManager, scene_files
from tests.agent.render_scenes import MAKE_SCENE
from tests.agent.scripted import run_script

SAMPLES = 4
AS_MOVIE = """
strips = scene.sequence_editor_create().strips
strips.new_effect(name="Colour", type="COLOR", channel=1, frame_start=1, frame_end=2)
bpy.ops.wm.save_as_mainfile(filepath=args["strips"])
scene.sequence_editor_clear()
scene.render.image_settings.file_format = "FFMPEG"
scene.render.ffmpeg.format = "MKV"
bpy.ops.wm.save_as_mainfile(filepath=args["movie"])
"""


@pytest.fixture(scope="module")
def scenes(bpy_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with still.blend, which writes pictures, movie.blend, a video, and strips.blend with a sequencer."""
    folder = tmp_path_factory.mktemp("scenes")
    names = {"scene": folder / "still.blend", "movie": folder / "movie.blend", "strips": folder / "strips.blend"}
    run_script(bpy_build, MAKE_SCENE + AS_MOVIE, folder, samples=SAMPLES, two_layers=False, **names)
    return folder


@pytest.fixture(scope="module")
def slot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slot]:
    folder = tmp_path_factory.mktemp("agent")
    with Slot(Settings(agent_name="agent-1", agent_dir=folder), RecordingManager(folder)) as slot:  # type: ignore[arg-type]
        yield slot


@pytest.fixture
def manager(tmp_path: Path, slot: Slot) -> RecordingManager:
    folder = tmp_path / "kept"
    folder.mkdir()
    slot.client = manager = RecordingManager(folder)  # type: ignore[assignment]
    return manager


@pytest.fixture
def still(manager: RecordingManager, scenes: Path, bpy_build: Build) -> SceneFiles:
    layers = [LayerSamples(name="Main", samples=SAMPLES)]
    return scene_files(manager, scenes / "still.blend", blender=bpy_build.version, layers=layers)


def _rendered(slot: Slot, manager: RecordingManager, files: SceneFiles, frame: int = 1) -> Path:
    """A frame rendered in one piece."""
    claim = ChunkClaim(state="render", token=1, frame=frame, samples=SAMPLES, left=[(0, SAMPLES)], scene=files)
    manager.claims["chunk"] = claim
    assert render_chunk(slot, "chunk") is Outcome.DONE
    return manager.segments[-1][2]


def _finish_claim(manager: RecordingManager, files: SceneFiles, merged: Path, frame: int = 1) -> FinishClaim:
    sha256, size_bytes = manager.serve(merged)
    blob = Blob(sha256=sha256, size_bytes=size_bytes)
    return FinishClaim(state="finish", token=3, frame=frame, merged=blob, output_name="shot_####", scene=files)


def test_finish_stores_the_picture_of_a_merged_frame(slot: Slot, manager: RecordingManager, still: SceneFiles) -> None:
    manager.claims["f"] = _finish_claim(manager, still, _rendered(slot, manager, still), frame=2)
    assert finish_frame(slot, "f") is Outcome.DONE
    ((kind, path, file),) = manager.results
    assert (kind, path) == ("image", "shot_0002.png")
    with Image.open(file) as picture:
        assert picture.size == (96, 54)
        assert picture.convert("L").getextrema()[1] > 0
    assert manager.finished == ["f"]
    assert list(slot.scratch.iterdir()) == []


def test_finish_renders_at_the_resolution_of_the_job(slot: Slot, manager: RecordingManager, still: SceneFiles) -> None:
    half = still.model_copy(update={"resolution_percentage": 50})
    manager.claims["f"] = _finish_claim(manager, half, _rendered(slot, manager, half))
    assert finish_frame(slot, "f") is Outcome.DONE
    with Image.open(manager.results[0][2]) as picture:
        assert picture.size == (48, 27)


def test_finish_and_render_take_turns_in_one_blender(slot: Slot, manager: RecordingManager, still: SceneFiles) -> None:
    first = _rendered(slot, manager, still)
    pid = slot.warm.pid
    manager.claims["f"] = _finish_claim(manager, still, first)
    for _ in range(2):
        assert finish_frame(slot, "f") is Outcome.DONE
        assert _rendered(slot, manager, still).read_bytes() == first.read_bytes()
    assert slot.warm.pid == pid


def test_frame_is_finished_between_render_calls_when_the_manager_asks(
    slot: Slot, manager: RecordingManager, still: SceneFiles
) -> None:
    manager.claims["f"] = _finish_claim(manager, still, _rendered(slot, manager, still))
    manager.segments.clear()
    manager.calls.clear()
    manager.on_call = lambda name: ChunkAnswer(finish="f") if name == "preview" else GO_ON
    samples = 64
    manager.claims["c"] = ChunkClaim(
        state="render", token=1, frame=2, samples=samples, left=[(0, samples)], sub_pass_s=1e-6, scene=still
    )
    assert render_chunk(slot, "c") is Outcome.DONE
    assert manager.finished == ["f"]
    assert [path for _, path, _ in manager.results] == ["shot_0001.png"]
    assert sum(count for _, count, _ in manager.segments) == samples
    pieces = manager.segments[0][2]
    manager.claims["c"] = manager.claims["c"].model_copy(update={"one_call": True})
    assert render_chunk(slot, "c") is Outcome.DONE
    whole, merged = exr.read(manager.segments[-1][2]).channels, exr.read(pieces).channels
    for name, plane in whole.items():
        np.testing.assert_allclose(merged[name], plane, atol=2e-5, rtol=5e-6, err_msg=name)


@pytest.mark.parametrize(
    ("state", "outcome"), [("done", Outcome.DONE), ("later", Outcome.DROPPED), ("canceled", Outcome.DROPPED)]
)
def test_finish_is_left_alone_when_there_is_nothing_to_do(
    slot: Slot, manager: RecordingManager, state: str, outcome: Outcome
) -> None:
    manager.claims |= {"f": FinishClaim(state=state), "j": EncodeClaim(state=state)}
    assert finish_frame(slot, "f") is outcome
    assert encode_job(slot, "j") is outcome
    assert manager.calls == []


def test_finish_reports_a_merged_frame_that_is_gone(
    slot: Slot, manager: RecordingManager, still: SceneFiles, tmp_path: Path
) -> None:
    lost = tmp_path / "merged.exr"
    lost.write_text("gone before anybody fetched it")
    manager.claims["f"] = _finish_claim(manager, still, lost)
    del manager.blobs[manager.claims["f"].merged.sha256]  # type: ignore[union-attr]
    assert finish_frame(slot, "f") is Outcome.DROPPED
    assert [failure.token for failure in manager.failures] == [3]
    assert manager.finished == []


def test_finish_asks_the_manager_for_a_merged_frame_that_is_damaged_in_a_store_on_this_machine(
    slot: Slot, manager: RecordingManager, still: SceneFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileStore(tmp_path / "store")
    stored = store.put_file(_rendered(slot, manager, still))
    path = store.path(stored.sha256)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.chmod(0o644)
    path.write_bytes(data)
    monkeypatch.setattr(slot, "cache", BlobCache(tmp_path / "cache", limit_bytes=1 << 30, local_store=store))
    blob = Blob(sha256=stored.sha256, size_bytes=stored.size_bytes)
    manager.claims["f"] = FinishClaim(state="finish", token=3, frame=1, merged=blob, scene=still)
    assert finish_frame(slot, "f") is Outcome.DROPPED
    assert [(failure.kind, stored.sha256 in failure.message) for failure in manager.failures] == [("files", True)]
    assert manager.results == []


def test_finish_refuses_a_merged_frame_that_is_no_exr(
    slot: Slot, manager: RecordingManager, still: SceneFiles, tmp_path: Path
) -> None:
    text = tmp_path / "merged.exr"
    text.write_text("no picture at all")
    manager.claims["f"] = _finish_claim(manager, still, text)
    assert finish_frame(slot, "f") is Outcome.DROPPED
    assert [failure.kind for failure in manager.failures] == ["output"]
    assert "not a whole EXR file" in manager.failures[0].message
    assert manager.results == []


def test_finish_tells_its_warnings(slot: Slot, manager: RecordingManager, scenes: Path, bpy_build: Build) -> None:
    layers = [LayerSamples(name="Main", samples=SAMPLES)]
    strips = scene_files(manager, scenes / "strips.blend", blender=bpy_build.version, layers=layers, job="strips")
    manager.claims["f"] = _finish_claim(manager, strips, _rendered(slot, manager, strips))
    assert finish_frame(slot, "f") is Outcome.DONE
    assert manager.warnings == ["the strips of the scene's sequencer were left out: only its frames are rendered"]


def test_finish_stops_when_somebody_else_owns_it(slot: Slot, manager: RecordingManager, still: SceneFiles) -> None:
    merged = _rendered(slot, manager, still)

    def lose(name: str) -> ChunkAnswer:
        if name == "result":
            raise LeaseLost("token 3 is old")
        return GO_ON

    manager.on_call = lose
    manager.claims["f"] = _finish_claim(manager, still, merged)
    assert finish_frame(slot, "f") is Outcome.DROPPED
    assert manager.failures == []
    assert manager.finished == []


def test_encode_stores_the_video_of_finished_frames(
    slot: Slot, manager: RecordingManager, scenes: Path, bpy_build: Build, tmp_path: Path
) -> None:
    layers = [LayerSamples(name="Main", samples=SAMPLES)]
    movie = scene_files(manager, scenes / "movie.blend", blender=bpy_build.version, layers=layers)
    images = []
    for number in (1, 2, 3):
        picture = tmp_path / f"shot_{number:04}.png"
        Image.new("RGB", (96, 54), (80 * number, 0, 0)).save(picture)
        sha256, size_bytes = manager.serve(picture)
        images.append(ResultView(kind="image", path=picture.name, sha256=sha256, size_bytes=size_bytes, frame=number))
    manager.claims["j"] = EncodeClaim(state="encode", token=3, images=images, output_name="shot_####", scene=movie)
    assert encode_job(slot, "j") is Outcome.DONE, manager.failures
    ((kind, path, file),) = manager.results
    assert (kind, path) == ("video", "shot_0001-0003.mkv")
    assert file.stat().st_size > 0
    assert manager.finished == ["j"]
