"""Running float32 sums of one view layer over segments, by the rules of passes.py."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from blendnet.errors import MergeError
from blendnet.merge.cryptomatte import CryptomatteSums
from blendnet.merge.exr import Plane
from blendnet.merge.layers import LayerPlan, LightGroup

Planes = Mapping[str, Plane]
Weight = float | Plane


class LayerSums:
    """Sums of one view layer.

    One segment alone is kept as it is, so that a merge of one returns its very bits.
    """

    def __init__(self, plan: LayerPlan, *, adaptive: bool) -> None:
        """Start empty. `adaptive`: weigh every pixel by the samples that adaptive sampling took there."""
        self.plan = plan
        self._adaptive = adaptive
        self._single: Planes | None = None
        self._single_weight: Weight = 0.0
        self._copies: Planes = {}
        self._copied_offset: int | None = None
        self._samples = 0.0
        self._weight: Weight = 0.0
        self._sums: dict[str, Plane] = {}
        self._mattes: list[CryptomatteSums] = []
        self._scratch: tuple[Plane, Plane] | None = None

    def add(self, planes: Planes, *, offset: int, samples: float) -> None:
        """Add a segment of `samples` samples that begins at sample `offset`. The arrays are not changed.

        Args:
            planes: the channels of the plan and perhaps others.

        Raises:
            MergeError: adaptive, and the layer has no sample counts.
        """
        weight = self._pixel_weight(planes, samples)
        if self._copied_offset is None or offset < self._copied_offset:
            self._copied_offset = offset
            self._copies = {name: planes[name] for name in self.plan.copies}
        if self._samples == 0.0:
            self._single, self._single_weight = {name: planes[name] for name in self.plan.channels}, weight
        else:
            if self._single is not None:
                self._begin(self._single, self._single_weight, self._samples)
                self._single = None
            self._accumulate(planes, weight, samples)
        self._samples += samples
        self._weight = self._weight + weight

    def preview(self) -> list[Plane]:
        """R, G, B, A (those that the layer has) of the picture so far."""
        if self._single is not None:
            return [self._single[name] for name in self.plan.combined]
        return [self._mean(name) for name in self.plan.combined]

    def result(self) -> dict[str, Plane]:
        """Channel -> merged array, all channels of the layer. The sums stay as they are."""
        if self._single is not None:
            return dict(self._single)
        out = {name: self._mean(name) for name in self.plan.means}
        out |= {name: self._sums[name] / np.float32(self._samples) for name in self.plan.counts}
        for group in self.plan.lights:
            out |= self._divide_lights(group)
        for matte, sums in zip(self.plan.mattes, self._mattes, strict=True):
            for (ids, cover), (keys, share) in zip(matte.ranks, sums.result(self._weight), strict=True):
                out[ids], out[cover] = keys, share
        return out | dict(self._copies)

    def _pixel_weight(self, planes: Planes, samples: float) -> Weight:
        if not self._adaptive:
            return float(samples)
        if self.plan.sample_count is None:
            raise MergeError("adaptive segments cannot be weighed: the pass Debug Sample Count is missing")
        return planes[self.plan.sample_count] * np.float32(samples)

    def _begin(self, planes: Planes, weight: Weight, samples: float) -> None:
        """Turn the one segment kept so far into sums."""
        for name in self.plan.means:
            self._sums[name] = planes[name] * weight
        for name in self.plan.counts:
            self._sums[name] = planes[name] * np.float32(samples)
        for group in self.plan.lights:
            for row, colour in enumerate(group.colour):
                for light in group.lights:
                    self._sums[light[row]] = self._sums[colour] * planes[light[row]]
        for matte in self.plan.mattes:
            rows, columns = planes[matte.ranks[0][0]].shape
            sums = CryptomatteSums(len(matte.ranks), (rows, columns), ranked=matte.ranked)
            self._mattes.append(sums)
            sums.add([(planes[ids], planes[cover]) for ids, cover in matte.ranks], weight)

    def _accumulate(self, planes: Planes, weight: Weight, samples: float) -> None:
        coloured = {channel for group in self.plan.lights for channel in group.colour}
        for name in self.plan.means:
            if name not in coloured:
                self._add_product(name, planes[name], weight)
        for name in self.plan.counts:
            self._add_product(name, planes[name], samples)
        for group in self.plan.lights:
            self._accumulate_lights(group, planes, weight)
        for matte, sums in zip(self.plan.mattes, self._mattes, strict=True):
            sums.add([(planes[ids], planes[cover]) for ids, cover in matte.ranks], weight)

    def _accumulate_lights(self, group: LightGroup, planes: Planes, weight: Weight) -> None:
        """sum(w * colour) and sum(w * colour * light): what Cycles had before it divided."""
        for row, colour in enumerate(group.colour):
            weighted, _ = self._buffers(planes[colour])
            np.multiply(planes[colour], weight, out=weighted)
            self._sums[colour] += weighted
            for light in group.lights:
                self._add_product(light[row], planes[light[row]], weighted)

    def _add_product(self, name: str, plane: Plane, factor: Weight) -> None:
        _, product = self._buffers(plane)
        np.multiply(plane, factor, out=product)
        self._sums[name] += product

    def _buffers(self, like: Plane) -> tuple[Plane, Plane]:
        """Two scratch arrays, made once: allocating for every channel would cost more than the arithmetic."""
        if self._scratch is None:
            self._scratch = np.empty(like.shape, np.float32), np.empty(like.shape, np.float32)
        return self._scratch

    def _mean(self, name: str) -> Plane:
        if isinstance(self._weight, float):
            return self._sums[name] / np.float32(self._weight)
        return _divide(self._sums[name], self._weight)

    def _divide_lights(self, group: LightGroup) -> dict[str, Plane]:
        colours = [self._sums[name] for name in group.colour]
        merged: dict[str, Plane] = {}
        for light in group.lights:
            planes = [_divide(self._sums[name], colour) for name, colour in zip(light, colours, strict=True)]
            _even_out(planes, colours)
            merged |= dict(zip(light, planes, strict=True))
        return merged


def _divide(value: Plane, by: Plane) -> Plane:
    """value / by, 0 where `by` is 0."""
    return np.divide(value, by, out=np.zeros_like(value), where=by != 0)


def _even_out(planes: list[Plane], colours: list[Plane]) -> None:
    """Where a colour component is 0, take the mean of the light's other components, in place.

    Cycles does the same to keep light grey under saturated colours (safe_divide_even_color in kernel/util/color).
    """
    black = [colour == 0 for colour in colours]
    at = np.nonzero(np.any(black, axis=0) & ~np.all(black, axis=0))
    if not at[0].size:
        return
    known = np.stack([~b[at] for b in black])
    value = np.stack([plane[at] for plane in planes])
    mean = (value * known).sum(axis=0) / known.sum(axis=0)
    for row, plane in enumerate(planes):
        plane[at] = np.where(known[row], value[row], mean)
