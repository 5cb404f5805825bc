"""Wheels as pip takes them, a few hundred bytes each: bpy, and what it needs."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

BPY = "class app: version = ({})\n"


def make_wheel(folder: Path, name: str, version: str, source: str, *, requires: str = "") -> str:
    """Write a wheel with one module; returns its SHA-256."""
    info = f"{name}-{version}.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    content = {
        f"{name}/__init__.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in (*content, f"{info}/RECORD"))
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for member, text in {**content, f"{info}/RECORD": record}.items():
            wheel.writestr(member, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make_bpy(folder: Path, version: str, *, requires: str = "") -> str:
    """Write a bpy wheel that tells its version; returns its SHA-256."""
    return make_wheel(folder, "bpy", version, BPY.format(", ".join(version.split("."))), requires=requires)
