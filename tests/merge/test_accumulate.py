"""The accumulator against the same sums done in float64, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blendnet.errors import MergeError
from blendnet.merge import exr
from blendnet.merge.accumulate import Accumulator
from blendnet.merge.exr import Image
from tests.merge.pictures import HEIGHT, WIDTH, both, close, picture, same_bits, without

L = "View Layer."


def accumulate(images: list[Image], weights: list[float], **options) -> Image:
    sums, offset = Accumulator(**options), 0
    for image, weight in zip(images, weights, strict=True):
        sums.add(image, offset=offset, weight=weight)
        offset += int(weight)
    return sums.result()


def mean(images: list[Image], weights: list[float], name: str) -> np.ndarray:
    total = sum(image.channels[name].astype(np.float64) * w for image, w in zip(images, weights, strict=True))
    return (total / sum(weights)).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 1000), min_size=2, max_size=8))
def test_accumulator_makes_weighted_means(weights) -> None:
    images = [picture(seed) for seed in range(len(weights))]
    merged = accumulate(images, weights)
    for name in (f"{L}Combined.R", f"{L}Combined.A", f"{L}Mist.Z", f"{L}DiffCol.G"):
        assert close(merged.channels[name], mean(images, weights, name))


def test_accumulator_returns_the_very_bits_of_a_single_image() -> None:
    image = picture(1)
    assert same_bits(accumulate([image], [7]), image)


def test_accumulator_merges_light_passes_as_light_not_as_quotients() -> None:
    images, weights = [picture(1), picture(2)], [24.0, 40.0]
    merged = accumulate(images, weights)
    for c in "RGB":
        col, light = f"{L}DiffCol.{c}", f"{L}DiffDir.{c}"
        product = [Image({light: i.channels[col] * i.channels[light]}, i.header) for i in images]
        wanted = mean(product, weights, light) / mean(images, weights, col)
        assert close(merged.channels[light], wanted)


def test_accumulator_fills_light_of_missing_colour_components_as_cycles_does() -> None:
    def colour(values: tuple[float, float, float]) -> Image:
        planes = {
            f"{L}DiffCol.{c}": np.full((HEIGHT, WIDTH), v, np.float32) for c, v in zip("RGB", values, strict=True)
        }
        return picture(1, extra=planes)

    merged = accumulate([colour((0.8, 0, 0.4))] * 2, [3, 5])
    red, green, blue = (merged.channels[f"{L}DiffDir.{c}"] for c in "RGB")
    assert close(green, (red + blue) / 2)
    black = accumulate([colour((0, 0, 0))] * 2, [3, 5])
    assert not any(black.channels[f"{L}DiffDir.{c}"].any() for c in "RGB")


def test_accumulator_copies_depth_from_the_lowest_offset_whatever_comes_first() -> None:
    first, second = picture(1), picture(2)
    sums = Accumulator()
    sums.add(second, offset=24, weight=40)
    sums.add(first, offset=0, weight=24)
    assert np.array_equal(sums.result().channels[f"{L}Depth.Z"], first.channels[f"{L}Depth.Z"])


def test_accumulator_takes_the_samples_of_every_layer_by_name() -> None:
    one, two = both(picture(1), picture(2, layer="B.001")), both(picture(3), picture(4, layer="B.001"))
    sums = Accumulator()
    sums.add(one, offset=0, weight={"View Layer": 24, "B.001": 2})
    sums.add(two, offset=24, weight={"View Layer": 40, "B.001": 6})
    merged = sums.result()
    assert close(merged.channels[f"{L}Mist.Z"], mean([one, two], [24, 40], f"{L}Mist.Z"))
    assert close(merged.channels["B.001.Mist.Z"], mean([one, two], [2, 6], "B.001.Mist.Z"))


def test_accumulator_lets_a_layer_without_samples_be_missing() -> None:
    whole = both(picture(1), picture(2, layer="B"))
    sums = Accumulator()
    sums.add(picture(3), offset=0, weight={"View Layer": 4, "B": 0})
    sums.add(whole, offset=4, weight={"View Layer": 0, "B": 1})
    merged = sums.result().channels
    assert np.array_equal(merged[f"{L}Mist.Z"], picture(3).channels[f"{L}Mist.Z"])
    assert np.array_equal(merged["B.Mist.Z"], whole.channels["B.Mist.Z"])


def test_accumulator_weighs_pixels_by_their_samples_when_adaptive() -> None:
    random = np.random.default_rng(9)
    counts = [random.uniform(0.1, 1, (HEIGHT, WIDTH)).astype(np.float32) for _ in range(2)]
    images = [picture(n, extra={f"{L}Debug Sample Count.X": counts[n]}) for n in range(2)]
    merged = accumulate(images, [24, 40], adaptive=True).channels
    weights = [24 * counts[0], 40 * counts[1]]
    mist = sum(w * i.channels[f"{L}Mist.Z"] for w, i in zip(weights, images, strict=True)) / sum(weights)
    assert close(merged[f"{L}Mist.Z"], mist)
    assert close(merged[f"{L}Debug Sample Count.X"], sum(weights) / np.float32(64))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=2, max_size=6), st.data())
def test_accumulator_gives_the_same_whether_merged_in_one_step_or_in_two(weights, data) -> None:
    """Sub-passes into segments, segments into a frame: only rounding may differ."""
    counts = [np.full((HEIGHT, WIDTH), 1 / (n + 1), np.float32) for n in range(len(weights))]
    images = [picture(n, extra={f"{L}Debug Sample Count.X": counts[n]}) for n in range(len(weights))]
    cut = data.draw(st.integers(1, len(weights) - 1))
    segments = [accumulate(images[:cut], weights[:cut], adaptive=True)]
    segments.append(accumulate(images[cut:], weights[cut:], adaptive=True))
    twice = accumulate(segments, [sum(weights[:cut]), sum(weights[cut:])], adaptive=True)
    once = accumulate(images, weights, adaptive=True)
    assert all(close(twice.channels[name], plane) for name, plane in once.channels.items())


def test_accumulator_shows_the_picture_so_far() -> None:
    sums = Accumulator()
    assert sums.preview() is None
    images = [picture(1), picture(2)]
    sums.add(images[0], offset=0, weight=24)
    sums.add(images[1], offset=24, weight=40)
    shown = sums.preview()
    assert shown is not None
    assert shown.shape == (HEIGHT, WIDTH, 4)
    assert close(shown[..., 3], mean(images, [24, 40], f"{L}Combined.A"))


def test_accumulator_shows_the_layer_that_is_named_first() -> None:
    image = both(picture(1), picture(2, layer="A"))
    sums = Accumulator()
    sums.add(image, offset=0, weight={"View Layer": 1, "A": 1})
    shown = sums.preview()
    assert shown is not None
    assert np.array_equal(shown[..., 0], image.channels[f"{L}Combined.R"])


def test_accumulator_does_not_change_what_it_is_given() -> None:
    images = [picture(1), picture(2)]
    accumulate(images, [24, 40])
    assert same_bits(images[0], picture(1))
    assert same_bits(images[1], picture(2))


@pytest.mark.parametrize(
    ("second", "weight", "text"),
    [
        (without(picture(2), f"{L}Mist"), 1, r"View Layer\.Mist\.Z is missing"),
        (picture(2, extra={f"{L}AO.R": np.ones((HEIGHT, WIDTH), np.float32)}), 1, r"View Layer\.AO\.R is new"),
        (Image({f"{L}Mist.Z": np.ones((2, 2), np.float32)}, exr.header_for(2, 2)), 1, "another size"),
        (picture(2), {"View Layer": 1, "B": 1}, "view layer 'B' is missing"),
        (picture(2), {"B": 1}, "no sample count is known for view layer 'View Layer'"),
    ],
    ids=["channel missing", "channel new", "size", "layer missing", "layer unknown"],
)
def test_accumulator_refuses_what_does_not_fit_and_stays_as_it_was(second, weight, text) -> None:
    sums = Accumulator()
    sums.add(picture(1), offset=0, weight=1)
    with pytest.raises(MergeError, match=text):
        sums.add(second, offset=1, weight=weight)
    assert same_bits(sums.result(), picture(1))


def test_accumulator_refuses_adaptive_images_without_sample_counts() -> None:
    with pytest.raises(MergeError, match="Debug Sample Count"):
        Accumulator(adaptive=True).add(without(picture(1), f"{L}Debug"), offset=0, weight=1)


def test_accumulator_has_no_result_before_the_first_image() -> None:
    with pytest.raises(MergeError, match="nothing to merge"):
        Accumulator().result()
