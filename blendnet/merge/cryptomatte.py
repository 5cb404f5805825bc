"""Merging of Cryptomatte ranks: coverage summed per id, in the order that Cycles would have given them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from blendnet.merge.exr import Plane

Pair = tuple[Plane, Plane]
"""One rank of a matte: ids (32-bit hashes stored as float32) and coverage."""
_Ids = NDArray[np.uint32]


class CryptomatteSums:
    """Coverage per id and pixel, summed over segments.

    As in Cycles a pixel has as many slots as the file has ranks, taken in order of arrival; when all are taken, further
    ids count for the last one (kernel/film/cryptomatte_passes.h).
    """

    def __init__(self, ranks: int, shape: tuple[int, int], *, ranked: bool) -> None:
        """Start empty. `ranked`: the result is sorted by coverage, not in order of arrival."""
        self._ranks = ranks
        self._shape = shape
        self._ranked = ranked
        self._ids: list[_Ids] = []
        """Slot -> id of every pixel, flat; 0: free. Made when the first pixel needs it."""
        self._cover: list[Plane] = []

    def add(self, pairs: Sequence[Pair], weight: float | Plane) -> None:
        """Add the ranks of one segment, whose coverage counts `weight` samples (per pixel when it is an array)."""
        for rank, (ids, cover) in enumerate(pairs):
            keys = np.ascontiguousarray(ids).view(np.uint32).ravel()
            value = (cover * weight).astype(np.float32, copy=False).ravel()
            if rank == 0:
                self._add_first_rank(keys, value)
            else:
                at = np.flatnonzero(value)
                self._add_at(at, keys[at], value[at])

    def result(self, total: float | Plane) -> list[Pair]:
        """As many ranks as the file has; coverage is divided by `total` samples."""
        ids, cover = [keys.copy() for keys in self._ids], [value.copy() for value in self._cover]
        if self._ranked and len(ids) > 1:
            _sort(ids, cover)
        scale = np.broadcast_to(np.asarray(total, np.float32), self._shape)
        pairs: list[Pair] = []
        for keys, value in zip(ids, cover, strict=True):
            share = np.divide(value.reshape(self._shape), scale, out=np.zeros(self._shape, np.float32), where=scale > 0)
            pairs.append((keys.view(np.float32).reshape(self._shape), share))
        return pairs + [self._empty()] * (self._ranks - len(pairs))

    def _empty(self) -> Pair:
        return np.zeros(self._shape, np.float32), np.zeros(self._shape, np.float32)

    def _add_first_rank(self, keys: _Ids, value: Plane) -> None:
        """The first rank of a pixel mostly has the id that the pixel's first slot has: done for all pixels at once."""
        if not self._ids:
            self._ids.append(np.where(value != 0, keys, np.uint32(0)))
            self._cover.append(value.copy())
            return
        same = keys == self._ids[0]
        self._cover[0] += value * same
        at = np.flatnonzero(~same & (value != 0))
        self._add_at(at, keys[at], value[at])

    def _add_at(self, at: NDArray[np.intp], keys: _Ids, value: Plane) -> None:
        """Add to the pixels `at`, each into the slot that has its id, else its first free slot, else its last."""
        for slot in range(self._ranks):
            if not at.size:
                return
            if slot == len(self._ids):
                self._ids.append(np.zeros(self._shape[0] * self._shape[1], np.uint32))
                self._cover.append(np.zeros(self._shape[0] * self._shape[1], np.float32))
            there = self._ids[slot][at]
            fits = (there == keys) | (there == 0)
            self._ids[slot][at[fits]] = keys[fits]
            self._cover[slot][at[fits]] += value[fits]
            at, keys, value = at[~fits], keys[~fits], value[~fits]
        self._cover[-1][at] += value


def _sort(ids: list[_Ids], cover: list[Plane]) -> None:
    """Sort the slots of the pixels that use more than one by falling coverage, in place; ties keep their order."""
    at = np.flatnonzero(ids[1])
    keys = np.stack([slot[at] for slot in ids])
    value = np.stack([slot[at] for slot in cover])
    order = np.argsort(-value, axis=0, kind="stable")
    for slot, (key, share) in enumerate(
        zip(np.take_along_axis(keys, order, 0), np.take_along_axis(value, order, 0), strict=True)
    ):
        ids[slot][at] = key
        cover[slot][at] = share
