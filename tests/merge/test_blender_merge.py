"""Merged sample chunks of a real Blender against its one-machine render, pass by pass.

The scene has every pass that Cycles offers, glass, metal, a volume, depth of field, light groups, AOVs, two view layers
and a colour without green and blue.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from blendnet.agent.blenders import Build
from blendnet.merge import exr
from blendnet.merge.accumulate import Accumulator
from blendnet.merge.exr import Image, Plane
from blendnet.merge.frame import SegmentFile, merge_segments
from blendnet.merge.layers import layers_of, plan_layers
from blendnet.merge.passes import split_channel
from blendnet.merge.ranges import layer_range
from blendnet.settings import clean_environment

SCRIPTS = Path(__file__).parent / "scripts"
FIRST, SECOND = "View Layer", "Second.Layer"
SAMPLES, SECOND_SAMPLES = 24, 10
CUTS = ((0, 7), (7, 9), (16, 8))
ADAPTIVE_SAMPLES = 64
ADAPTIVE_CUTS = ((0, 24), (24, 40))
ABSOLUTE, RELATIVE = 2e-5, 5e-6
KNOWN_RESIDUES = {
    # 3.4 writes light of volumes into DiffInd of pixels whose diffuse colour is 0 in a chunk: it is lost there.
    "3.4": {"DiffInd"},
    # Cycles' own guides for sampling volumes.
    "5.0": {"Volume Majorant", "Volume Scatter", "Volume Transmit"},
}


@dataclass(frozen=True)
class Renders:
    """Files that a Blender made of the scene."""

    build: Build
    folder: Path

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.exr"

    def image(self, name: str) -> Image:
        return exr.read(self.path(name))

    def segments(self, name: str = "part", cuts: tuple[tuple[int, int], ...] = CUTS) -> list[SegmentFile]:
        return [SegmentFile(self.path(f"{name}{offset}"), offset, count) for offset, count in cuts]

    @property
    def residues(self) -> set[str]:
        return KNOWN_RESIDUES.get(self.build.version[:3], set())


def run(build: Build, script: str, argument: str) -> str:
    """Output of a script run inside Blender."""
    start = [str(build.path)] if build.kind == "wheel" else [str(build.path), *["-b", "--factory-startup", "-noaudio"]]
    start += [] if build.kind == "wheel" else ["--python-exit-code", "3", "--python"]
    command = [*start, str(SCRIPTS / script), "--", argument]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=clean_environment(), check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def piece(
    path: str, layers: list[str], samples: int, offset: int = 0, count: int = 0, **more: bool
) -> dict[str, object]:
    return {"path": path, "layers": layers, "samples": samples, "offset": offset, "count": count, **more}


def pieces() -> Iterator[dict[str, object]]:
    """What is rendered: wholes, chunks, the same in stereo, adaptive, and of a layer that has fewer samples."""
    yield piece("whole", [FIRST, SECOND], SAMPLES)
    yield piece("stereo", [FIRST], SAMPLES, stereo=True)
    yield piece("second", [SECOND], SECOND_SAMPLES)
    for offset, count in CUTS:
        yield piece(f"part{offset}", [FIRST, SECOND], SAMPLES, offset, count)
        yield piece(f"stereo{offset}", [FIRST], SAMPLES, offset, count, stereo=True)
        yield piece(f"second{offset}", [SECOND], SECOND_SAMPLES, *layer_range(offset, count, SAMPLES, SECOND_SAMPLES))
    yield piece("reference", [FIRST], 3 * ADAPTIVE_SAMPLES)
    yield piece("adaptive", [FIRST], ADAPTIVE_SAMPLES, adaptive=True)
    for offset, count in ADAPTIVE_CUTS:
        yield piece(f"adaptive{offset}", [FIRST], ADAPTIVE_SAMPLES, offset, count, adaptive=True)


@pytest.fixture(scope="module")
def renders(any_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Renders:
    folder = tmp_path_factory.mktemp("renders")
    wanted = [{**one, "path": str(folder / f"{one['path']}.exr")} for one in pieces()]
    run(any_build, "render_passes.py", json.dumps(wanted))
    return Renders(any_build, folder)


def differs(value: Plane, wanted: Plane) -> bool:
    apart = np.abs(value - wanted)
    return bool(((apart > ABSOLUTE) & (apart > RELATIVE * np.abs(wanted))).any())


def coverage(image: Image, layer: str) -> dict[tuple[str, int], Plane]:
    """(matte, id) -> coverage: what every reader makes of Cryptomatte ranks, whatever order ties have."""
    found: dict[tuple[str, int], Plane] = {}
    names = layers_of(tuple(sorted(image.channels)))[layer]
    for matte in (matte for plan in plan_layers(names) for matte in plan.mattes):
        for ids, cover in matte.ranks:
            keys = image.channels[ids].view(np.uint32)
            for key in np.unique(keys):
                empty = np.zeros(keys.shape, np.float32)
                name = (split_channel(ids).pass_name[:-2] + split_channel(ids).view, int(key))
                found[name] = found.get(name, empty) + np.where(keys == key, image.channels[cover], 0)
    return {name: plane for name, plane in found.items() if plane.any()}


def wrong_passes(merged: Image, wanted: Image) -> set[str]:
    """Passes that differ from the one-machine render."""
    assert merged.channels.keys() == wanted.channels.keys()
    wrong = set()
    for name, plane in wanted.channels.items():
        pass_name = split_channel(name).pass_name
        if not pass_name.startswith("Crypto") and differs(merged.channels[name], plane):
            wrong.add(pass_name)
    for layer in layers_of(tuple(sorted(wanted.channels))):
        mine, theirs = coverage(merged, layer), coverage(wanted, layer)
        assert mine.keys() == theirs.keys()
        wrong |= {key[0] for key, plane in theirs.items() if differs(mine[key], plane)}
    return wrong


def test_merged_chunks_equal_the_one_machine_render_in_every_pass(renders, tmp_path) -> None:
    report = merge_segments(renders.segments(), tmp_path / "out.exr")
    merged, whole = exr.read(tmp_path / "out.exr"), renders.image("whole")
    assert report.channels == len(whole.channels) > 220
    assert wrong_passes(merged, whole) <= renders.residues


def test_merged_mattes_keep_the_ranks_of_the_one_machine_render(renders, tmp_path) -> None:
    """Materials and assets, which Cycles leaves in order of arrival; of objects only ties may change places."""
    merge_segments(renders.segments(), tmp_path / "out.exr")
    merged, whole = exr.read(tmp_path / "out.exr"), renders.image("whole")
    for name, plane in whole.channels.items():
        if "CryptoMaterial" in name or "CryptoAsset" in name:
            assert not differs(merged.channels[name], plane), name
        if "CryptoObject" in name and name[-1] in "ga":
            assert not differs(merged.channels[name], plane), name


def test_sub_passes_merged_twice_equal_the_one_machine_render(renders, tmp_path) -> None:
    """As on the farm: an agent accumulates two sub-passes into a segment, the Manager merges it with another one."""
    sums = Accumulator()
    for offset, count in CUTS[:2]:
        sums.add(renders.image(f"part{offset}"), offset=offset, weight=count)
    exr.write(tmp_path / "a.exr", sums.result(), compression="ZSTD")
    parts = [SegmentFile(tmp_path / "a.exr", 0, 16), renders.segments()[2]]
    merge_segments(parts, tmp_path / "out.exr")
    assert wrong_passes(exr.read(tmp_path / "out.exr"), renders.image("whole")) <= renders.residues


def test_layer_with_its_own_samples_equals_its_one_machine_render(renders, tmp_path) -> None:
    """An agent renders such layers in calls of their own and puts them into one segment."""
    parts = []
    for offset, count in CUTS:
        share = layer_range(offset, count, SAMPLES, SECOND_SAMPLES)[1]
        sums = Accumulator()
        first = renders.image(f"part{offset}")
        main = {name: plane for name, plane in first.channels.items() if name.startswith(FIRST)}
        sums.add(Image(main, first.header), offset=offset, weight={FIRST: count, SECOND: 0})
        sums.add(renders.image(f"second{offset}"), offset=offset, weight={FIRST: 0, SECOND: share})
        exr.write(tmp_path / f"{offset}.exr", sums.result(), compression="ZSTD")
        parts.append(SegmentFile(tmp_path / f"{offset}.exr", offset, count))
    merge_segments(parts, tmp_path / "out.exr", layers={FIRST: SAMPLES, SECOND: SECOND_SAMPLES})
    merged = exr.read(tmp_path / "out.exr")
    second = {name: plane for name, plane in merged.channels.items() if name.startswith(SECOND)}
    assert wrong_passes(Image(second, merged.header), renders.image("second")) <= renders.residues


def test_stereo_chunks_equal_the_one_machine_render_of_both_eyes(renders, tmp_path) -> None:
    merge_segments(renders.segments("stereo"), tmp_path / "out.exr")
    merged, whole = exr.read(tmp_path / "out.exr"), renders.image("stereo")
    assert merged.header.views == whole.header.views == ("left", "right")
    assert wrong_passes(merged, whole) <= renders.residues


def noise(image: Image, reference: Image) -> float:
    """Root mean square error of the picture."""
    names = [f"{FIRST}.Combined.{c}" for c in "RGB"]
    return float(np.sqrt(np.mean([np.square(image.channels[n] - reference.channels[n]) for n in names])))


def test_adaptive_chunks_are_as_clean_as_one_adaptive_render_when_pixels_are_weighed(renders, tmp_path) -> None:
    merge_segments(renders.segments("adaptive", ADAPTIVE_CUTS), tmp_path / "out.exr", adaptive=True)
    merged, reference = exr.read(tmp_path / "out.exr"), renders.image("reference")
    taken = merged.channels[f"{FIRST}.Debug Sample Count.X"]
    assert 0 < taken.min() < taken.max() <= 1
    assert noise(merged, reference) <= 1.1 * noise(renders.image("adaptive"), reference)


def test_blender_composites_the_merged_file_as_its_own_render(renders, tmp_path) -> None:
    """Same kind of image, layers and passes; pixels come out of the compositor as they are in the file."""
    merge_segments(renders.segments(), tmp_path / "out.exr")
    answers = []
    for path in (tmp_path / "out.exr", renders.path("whole")):
        asked = {"file": str(path), "size": [64, 36], "layers": [FIRST, SECOND], "pass": "Normal"}
        asked["output"] = str(tmp_path / "sum.exr")
        output = run(renders.build, "open_merged.py", json.dumps(asked))
        answers.append(json.loads(output.split("ANSWER ")[1].splitlines()[0]))
        composited, file = exr.read(tmp_path / "sum.exr").channels, exr.read(path).channels
        for colour, axis in zip("RGB", "XYZ", strict=True):
            wanted = file[f"{FIRST}.Normal.{axis}"] + file[f"{SECOND}.Normal.{axis}"]
            assert not differs(composited[colour], wanted)
    assert answers[0] == answers[1]
    assert answers[0]["type"] == "MULTILAYER"
    assert {"Mist", "tint"} <= set(answers[0]["passes"][1])
