"""Selecting samples: the arithmetic, without a Blender."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blendnet.agent.in_blender import samples
from blendnet.agent.in_blender.overrides import Overrides
from blendnet.merge import ranges


def cycles_of(generation: str, **changes: object) -> SimpleNamespace:
    """The sampling properties of scene.cycles as each generation of Blender has them."""
    properties: dict[str, object] = {"samples": 128, "seed": 7}
    if generation in ("offset", "subset"):
        properties["sample_offset"] = 0
    if generation == "subset":
        properties.update(use_sample_subset=False, sample_subset_length=2048)
    return SimpleNamespace(**{**properties, **changes})


@pytest.mark.parametrize("generation", ["seed", "offset", "subset"])
def test_method_of_is_read_from_what_cycles_offers(generation: str) -> None:
    assert samples.method_of(cycles_of(generation)) == generation


def test_select_on_subset_keeps_the_total() -> None:
    cycles = cycles_of("subset")
    samples.select(Overrides(), cycles, 24, 8, 64)
    assert (cycles.samples, cycles.use_sample_subset) == (64, True)
    assert (cycles.sample_offset, cycles.sample_subset_length) == (24, 8)


def test_select_of_everything_is_a_plain_render() -> None:
    cycles = cycles_of("subset")
    samples.select(Overrides(), cycles, 0, 64, 64)
    assert cycles.use_sample_subset is False


def test_select_on_offset_renders_the_length_alone() -> None:
    cycles = cycles_of("offset")
    samples.select(Overrides(), cycles, 24, 8, 64)
    assert (cycles.samples, cycles.sample_offset) == (8, 24)


def test_select_on_seed_gives_every_range_its_own_seed() -> None:
    cycles, overrides, seeds = cycles_of("seed"), Overrides(), []
    for offset in (0, 8, 16):
        samples.select(overrides, cycles, offset, 8, 24)
        seeds.append(cycles.seed)
    assert seeds == [7, 15, 23]
    overrides.restore()
    assert (cycles.seed, cycles.samples) == (7, 128)


class ResumableCycles(ModuleType):
    """Cycles' module up to 2.93, which renders a run of 'resumable chunks'."""

    chosen: tuple[int, int, int] | None = None

    def set_resumable_chunk_range(self, number: int, first: int, last: int) -> None:
        self.chosen = (number, first, last)

    def clear_resumable_chunk(self) -> None:
        self.chosen = None


@pytest.fixture
def resumable(monkeypatch: pytest.MonkeyPatch) -> ResumableCycles:
    module = ResumableCycles("_cycles")
    monkeypatch.setitem(sys.modules, "_cycles", module)
    return module


def test_select_on_chunks_keeps_the_total_and_the_seed(resumable: ResumableCycles) -> None:
    cycles = cycles_of("seed", aa_samples=128)
    assert samples.method_of(cycles) == "chunks"
    samples.select(Overrides(), cycles, 24, 8, 64)
    assert (cycles.samples, cycles.aa_samples, cycles.seed) == (64, 64, 7)
    assert resumable.chosen == (64, 25, 32)
    samples.select_all()
    assert resumable.chosen is None


def test_adaptive_sampling_is_never_cut_into_chunks(resumable: ResumableCycles) -> None:
    assert samples.method_of(cycles_of("seed", use_adaptive_sampling=True)) == "seed"
    assert samples.method_of(cycles_of("offset")) == "offset"


def test_select_corrects_adaptive_sampling_from_the_scenes_own_values_every_time() -> None:
    cycles, overrides = (
        cycles_of("subset", use_adaptive_sampling=True, adaptive_threshold=0.02, adaptive_min_samples=32),
        Overrides(),
    )
    for _ in range(2):
        samples.select(overrides, cycles, 0, 16, 64)
        assert cycles.adaptive_threshold == pytest.approx(0.08)
        assert cycles.adaptive_min_samples == 8


@pytest.mark.parametrize(
    ("method", "threshold", "least", "expected"),
    [
        ("subset", 0.02, 64, (0.08, 16)),
        ("offset", 0.02, 64, (0.04, 16)),
        ("subset", 0.02, 0, (0.08, 13)),
        ("offset", 0.0, 0, (2 / 512, 26)),
    ],
    ids=["4.4 multiplies by the root itself", "before 4.4", "automatic minimum", "automatic threshold and minimum"],
)
def test_adaptive_settings_stop_a_quarter_where_the_frame_would(
    method: str, threshold: float, least: int, expected: tuple[float, int]
) -> None:
    found = samples.adaptive_settings(method, threshold, least, 128, 512)
    assert found == (pytest.approx(expected[0]), expected[1])


def test_adaptive_settings_stay_for_a_whole_frame() -> None:
    assert samples.adaptive_settings("subset", 0.02, 0, 512, 512) == (0.02, 0)


@given(st.integers(1, 1000), st.integers(1, 1000), st.data())
def test_layer_range_is_the_same_as_the_merges(total: int, own: int, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, total - 1))
    count = data.draw(st.integers(1, total - offset))
    assert samples.layer_range(offset, count, total, own) == ranges.layer_range(offset, count, total, own)


def test_grouped_layers_share_a_call_when_their_ranges_are_equal() -> None:
    layers = [
        {"name": "A", "offset": 8, "count": 8, "samples": 64},
        {"name": "B", "offset": 1, "count": 1, "samples": 8},
        {"name": "C", "offset": 8, "count": 8, "samples": 64},
        {"name": "D", "offset": 1, "count": 0, "samples": 4},
    ]
    assert samples.grouped(layers) == [((1, 1, 8), ["B"]), ((8, 8, 64), ["A", "C"])]


@pytest.mark.parametrize(
    ("mode", "own", "expected"),
    [
        ("USE", 0, 128),
        ("USE", 16, 16),
        ("USE", 256, 256),
        ("BOUNDED", 256, 128),
        ("BOUNDED", 16, 16),
        ("IGNORE", 16, 128),
    ],
)
def test_layer_samples_follow_the_scenes_choice(mode: str, own: int, expected: int) -> None:
    assert samples.layer_samples(cycles_of("subset", use_layer_samples=mode), own, 128) == expected


@pytest.mark.parametrize(
    ("properties", "expected"),
    [({}, 128), ({"use_square_samples": True}, 16384), ({"progressive": "BRANCHED_PATH", "aa_samples": 10}, 10)],
)
def test_scene_samples_understand_old_generations(properties: dict[str, object], expected: int) -> None:
    assert samples.scene_samples(cycles_of("seed", **properties)) == expected
