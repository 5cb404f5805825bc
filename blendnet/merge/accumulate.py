"""Merging images of one frame one by one: used by agents for sub-passes and by the frame's merge for segments."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from blendnet.errors import MergeError
from blendnet.merge.exr import Header, Image, Plane
from blendnet.merge.layer_sums import LayerSums
from blendnet.merge.layers import different_channels, layers_of, plan_layers
from blendnet.merge.metadata import stable


class Accumulator:
    """Weighted sums of sample chunks of one frame, per view layer and pass.

    Sums are float32. The order in which images are added decides the last bits: add in order of offset where equal
    bits matter. The first image of a layer is kept, not copied, until the second arrives.
    """

    def __init__(self, *, header: Header | None = None, adaptive: bool = False) -> None:
        """Start empty.

        Args:
            header: header of the result; that of the first image when not given.
            adaptive: weigh every pixel by the samples taken there (pass Debug Sample Count).
        """
        self._header = header
        self._adaptive = adaptive
        self._layers: dict[str, list[LayerSums]] = {}
        """View layer -> its sums: one, in stereo one for every eye."""
        self._channels: dict[str, tuple[str, ...]] = {}
        self._shape: tuple[int, ...] | None = None
        self._first_layer: str | None = None

    def add(self, image: Image, *, offset: int, weight: float | Mapping[str, float]) -> None:
        """Add an image whose first sample is `offset` of the frame.

        Args:
            image: what was rendered; its arrays must not change afterwards.
            offset: passes that only sample 0 writes are taken from the image with the lowest offset.
            weight: samples in the image; per view layer when layers differ. A layer with weight 0 is ignored and may
                be missing; the first layer named is the one that previews show.

        Raises:
            MergeError: another size or other channels than before, or a layer is missing or has no weight.
        """
        names = tuple(sorted(image.channels))
        found = layers_of(names)
        weights = _weights(weight, found)
        self._check(image, found, weights)
        self._admit(image, found, weights)
        for layer, samples in weights.items():
            for sums in self._layers[layer] if samples > 0 else ():
                sums.add(image.channels, offset=offset, samples=samples)

    def preview(self) -> Plane | None:
        """The picture so far: Combined of the first layer, float32 (height, width, 4), linear, premultiplied alpha.

        None before the first image or when the layer has no Combined pass.
        """
        if self._first_layer is None or self._first_layer not in self._layers:
            return None
        planes = self._layers[self._first_layer][0].preview()
        if len(planes) < 3:
            return None
        alpha = planes[3] if len(planes) == 4 else np.ones_like(planes[0])
        return np.dstack([*planes[:3], alpha])

    def result(self) -> Image:
        """The merged image. The sums stay: more may be added.

        Raises:
            MergeError: nothing was added.
        """
        if self._header is None or not self._layers:
            raise MergeError("nothing to merge")
        channels: dict[str, Plane] = {}
        for layer in self._layers.values():
            for sums in layer:
                channels |= sums.result()
        return Image(channels, self._header)

    def _check(self, image: Image, found: Mapping[str, tuple[str, ...]], weights: Mapping[str, float]) -> None:
        """Refuse before anything is summed, so that a refused image leaves no trace."""
        shape = next(iter(image.channels.values())).shape if image.channels else None
        if shape is None or (self._shape is not None and shape != self._shape):
            raise MergeError(f"image of another size: {shape} instead of {self._shape}")
        for layer, samples in weights.items():
            if samples <= 0:
                continue
            if layer not in found:
                raise MergeError(f"view layer {layer!r} is missing")
            if reason := different_channels(self._channels.get(layer, found[layer]), found[layer]):
                raise MergeError(reason)
            if self._adaptive and any(plan.sample_count is None for plan in plan_layers(found[layer])):
                raise MergeError(
                    f"view layer {layer!r} lacks the pass Debug Sample Count, which weighs adaptive samples"
                )

    def _admit(self, image: Image, found: Mapping[str, tuple[str, ...]], weights: Mapping[str, float]) -> None:
        self._shape = next(iter(image.channels.values())).shape
        self._header = self._header or stable(image.header)
        self._first_layer = self._first_layer if self._first_layer is not None else next(iter(weights))
        for layer, samples in weights.items():
            if samples > 0 and layer not in self._layers:
                self._channels[layer] = found[layer]
                plans = plan_layers(found[layer])
                self._layers[layer] = [LayerSums(plan, adaptive=self._adaptive) for plan in plans]


def _weights(weight: float | Mapping[str, float], found: Mapping[str, object]) -> dict[str, float]:
    """Samples per view layer."""
    if not isinstance(weight, Mapping):
        return dict.fromkeys(found, float(weight))
    unknown = sorted(set(found) - set(weight))
    if unknown:
        raise MergeError(f"no sample count is known for view layer {unknown[0]!r}")
    return {layer: float(samples) for layer, samples in weight.items()}
