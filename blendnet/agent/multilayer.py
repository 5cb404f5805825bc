"""Completes frames whose output is a multilayer EXR: what Blender composited and denoised goes into the merged file."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from blendnet.merge import exr

COMPOSITE_PREFIX = "Composite.Combined."
NOISY = "Noisy Image"


def complete(directory: Path, answer: Mapping[str, Any]) -> None:
    """Put the parts that Blender left in `directory` into the frame's multilayer EXR, and remove them.

    `answer` is what in_blender/finish.py answered; without 'multilayer' in it there is nothing to do. As in files that
    Blender writes, a layer's Combined becomes the denoised picture, its Noisy Image holds what was merged, and the
    compositor's picture is Composite.Combined.

    Raises:
        MergeError: a file cannot be read.
    """
    about = answer.get("multilayer")
    if not about:
        return
    folder = directory / about["folder"]
    image = next(directory / output["path"] for output in answer["outputs"] if output["kind"] == "image")
    if about["composite"] or about["denoised"] or about["drop"] or about["half"]:
        _rewrite(image, folder, about)
    shutil.rmtree(folder, ignore_errors=True)


def _rewrite(path: Path, folder: Path, about: Mapping[str, Any]) -> None:
    merged = exr.read(path)
    channels = dict(merged.channels)
    for layer, name in about["denoised"].items():
        _denoised(channels, layer, exr.read(folder / name).channels)
    if about["composite"]:
        composite = exr.read(folder / about["composite"]).channels
        channels.update({COMPOSITE_PREFIX + letter: composite[letter] for letter in "RGBA" if letter in composite})
    kept = {name: plane for name, plane in channels.items() if not _dropped(name, about["drop"])}
    unfinished = path.with_name(f".{path.name}.unfinished")
    exr.write(unfinished, exr.Image(kept, merged.header), half=about["half"])
    unfinished.replace(path)


def _denoised(channels: dict[str, exr.Plane], layer: str, picture: Mapping[str, exr.Plane]) -> None:
    for letter in "RGBA":
        combined = f"{layer}.Combined.{letter}"
        if combined in channels and letter in picture:
            channels[f"{layer}.{NOISY}.{letter}"] = channels[combined]
            channels[combined] = picture[letter]


def _dropped(name: str, prefixes: list[str]) -> bool:
    return any(name.startswith(prefix + ".") for prefix in prefixes)
