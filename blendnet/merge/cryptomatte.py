"""Merging of Cryptomatte ranks: coverage summed per id, then ranked again."""

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

    A pixel keeps up to twice as many ids as the file has ranks; what comes after is dropped, as no file could hold it.
    """

    def __init__(self, ranks: int, shape: tuple[int, int]) -> None:
        self._ranks = ranks
        self._shape = shape
        self._ids: list[_Ids] = []
        """Slot -> id of every pixel, flat; 0: free. A pixel's slots are used in order and without holes."""
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
        """As many ranks as the file has, by falling coverage; coverage is divided by `total` samples."""
        ids, cover = self._ranked()
        scale = np.broadcast_to(np.asarray(total, np.float32), self._shape)
        planes = []
        for key, value in zip(ids, cover, strict=True):
            share = np.divide(value.reshape(self._shape), scale, out=np.zeros(self._shape, np.float32), where=scale > 0)
            planes.append((key.view(np.float32).reshape(self._shape), share))
        return planes

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
        """Add to the pixels `at`, each into the slot that has its id or else its first free slot."""
        for slot in range(2 * self._ranks):
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

    def _ranked(self) -> tuple[list[_Ids], list[Plane]]:
        """Copies of the slots, one per rank of the file, sorted by coverage per pixel (ties stay in order)."""
        size = self._shape[0] * self._shape[1]
        slots = max(len(self._ids), self._ranks)
        ids = [k.copy() for k in self._ids] + [np.zeros(size, np.uint32) for _ in range(slots - len(self._ids))]
        cover = [v.copy() for v in self._cover] + [np.zeros(size, np.float32) for _ in range(slots - len(self._cover))]
        if len(self._ids) > 1:
            self._sort(ids, cover)
        return ids[: self._ranks], cover[: self._ranks]

    def _sort(self, ids: list[_Ids], cover: list[Plane]) -> None:
        """Sort the pixels that have more than one id, in place."""
        used = len(self._ids)
        at = np.flatnonzero(self._ids[1])
        keys = np.stack([k[at] for k in ids[:used]])
        value = np.stack([v[at] for v in cover[:used]])
        order = np.argsort(-value, axis=0, kind="stable")
        keys, value = np.take_along_axis(keys, order, 0), np.take_along_axis(value, order, 0)
        for slot in range(used):
            ids[slot][at] = keys[slot]
            cover[slot][at] = value[slot]
