"""Runs small scripts inside a real Blender, and reads the pictures that it writes."""

from __future__ import annotations

import json
import subprocess
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from blendnet.agent.blenders import Build
from blendnet.agent.process import environment

PROLOGUE = """
import json, os, sys
import bpy
args = json.loads(sys.argv[sys.argv.index("--") + 1])
"""
EPILOGUE = """
sys.stdout.flush()
os._exit(0)
"""
SCRIPT_TIMEOUT_S = 240


def run_script(build: Build, source: str, cwd: Path, /, **args: Any) -> str:
    """Run `source` in a fresh Blender with `bpy` and the dictionary `args` at hand; returns what it printed."""
    script = cwd / "script.py"
    script.write_text(PROLOGUE + source + EPILOGUE)
    tail = [str(script), "--", json.dumps(args, default=str)]
    head = [str(build.path), "-I"]
    if build.kind == "binary":
        head = [str(build.path), "--background", "--factory-startup", "-noaudio", "--python-exit-code", "3", "--python"]
    done = subprocess.run(
        [*head, *tail],
        cwd=cwd,
        env=environment(cwd),
        capture_output=True,
        text=True,
        timeout=SCRIPT_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def read_png(path: Path) -> np.ndarray:
    """Pixels of a PNG that Blender wrote (not interlaced): H x W x channels, uint8 or uint16."""
    data = path.read_bytes()
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    depth, kind = data[24], data[25]
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[kind]
    pixel_bytes = channels * depth // 8
    raw = np.frombuffer(zlib.decompress(b"".join(_image_data(data))), np.uint8).reshape(height, -1)
    rows = _unfiltered(raw, pixel_bytes)
    values = rows.view(">u2").astype(np.uint16) if depth == 16 else rows
    return values.reshape(height, width, channels)


def _image_data(data: bytes) -> list[bytes]:
    at, parts = 8, []
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"IDAT":
            parts.append(data[at + 8 : at + 8 + length])
        at += 12 + length
    return parts


def _unfiltered(raw: np.ndarray, step: int) -> np.ndarray:
    """Undo PNG's five row filters; `step` is the bytes of a pixel."""
    rows = np.zeros((raw.shape[0], raw.shape[1] - 1), np.uint8)
    above = np.zeros(rows.shape[1], np.uint8)
    for number, (kind, line) in enumerate(zip(raw[:, 0], raw[:, 1:], strict=True)):
        above = rows[number] = _unfiltered_row(int(kind), line, above, step)
    return rows


def _unfiltered_row(kind: int, line: np.ndarray, above: np.ndarray, step: int) -> np.ndarray:
    if kind == 0:
        return line
    if kind == 2:
        return line + above
    if kind == 1:
        return np.cumsum(line.reshape(-1, step), axis=0, dtype=np.uint8).reshape(-1)
    out = [0] * step + [0] * len(line)
    up = [0] * step + [int(value) for value in above]
    for at, value in enumerate(line, start=step):
        left, top, corner = out[at - step], up[at], up[at - step]
        guess = (left + top) // 2 if kind == 3 else _paeth(left, top, corner)
        out[at] = (int(value) + guess) & 255
    return np.array(out[step:], np.uint8)


def _paeth(left: int, top: int, corner: int) -> int:
    estimate = left + top - corner
    distances = (abs(estimate - left), abs(estimate - top), abs(estimate - corner))
    return (left, top, corner)[distances.index(min(distances))]
