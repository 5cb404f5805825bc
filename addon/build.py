"""Builds the add-on's zip: blendnet_addon, with what it shares with the agents copied in. The same bytes every time."""

from __future__ import annotations

import argparse
import ast
import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from addon import wheel
from addon.blendnet_addon.lib import bundle

ROOT = wheel.ROOT
ADDON = ROOT / "addon" / "blendnet_addon"
SHARED = ROOT / "blendnet" / "agent" / "in_blender"
WANTED = ("dependencies", "describe", "finish_tree", "overrides", "patterns")
"""Modules of `SHARED` that the add-on imports; what they import comes with them."""
ENDINGS = (".py", ".toml")
PROGRAM = "program"
"""Folder of what installs the `blendnet` command and makes machines: see lib/install.py, lib/bundle.py."""


def shared_modules() -> list[str]:
    """Names of the modules to copy, sorted."""
    found: set[str] = set()
    todo = ["__init__", *WANTED]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += _siblings(SHARED / f"{name}.py")
    return sorted(found)


def _siblings(path: Path) -> list[str]:
    """Modules of its own package that a file imports."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            found += [node.module] if node.module else [alias.name for alias in node.names]
    return found


def contents() -> dict[str, bytes]:
    """Name in the zip -> content."""
    files = {
        f"{ADDON.name}/{path.relative_to(ADDON).as_posix()}": path.read_bytes()
        for path in ADDON.rglob("*")
        if path.suffix in ENDINGS
    }
    for name in shared_modules():
        files[f"{ADDON.name}/{SHARED.name}/{name}.py"] = (SHARED / f"{name}.py").read_bytes()
    files[f"{ADDON.name}/{PROGRAM}/{wheel.NAME}"] = wheel.make()
    for name in bundle.LOCKS:
        files[f"{ADDON.name}/{PROGRAM}/{name}"] = (ROOT / name).read_bytes()
    for name, path in image_files().items():
        files[f"{ADDON.name}/{PROGRAM}/{bundle.IMAGE}/{name}"] = path.read_bytes()
    files[f"{ADDON.name}/LICENSE"] = (ROOT / "LICENSE").read_bytes()
    return files


def image_files() -> dict[str, Path]:
    """Name -> file of what makes a machine of a bundle, as worker_image/bundle.sh packs it."""
    folder = ROOT / bundle.IMAGE
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {**found, "worker-image.md": ROOT / "docs" / "worker-image.md"}


def build(target: Path) -> str:
    """Write the zip; its SHA-256."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(wheel.zipped(contents()))
    return hashlib.sha256(target.read_bytes()).hexdigest()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path)
    target: Path = parser.parse_args().target
    sys.stdout.write(f"{build(target)}  {target}\n")


if __name__ == "__main__":
    main()
