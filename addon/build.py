"""Builds the add-on's zip: blendnet_addon, with what it shares with the agents copied in. The same bytes every time."""

from __future__ import annotations

import argparse
import ast
import hashlib
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ADDON = ROOT / "addon" / "blendnet_addon"
SHARED = ROOT / "blendnet" / "agent" / "in_blender"
WANTED = ("dependencies", "describe", "patterns")
"""Modules of `SHARED` that the add-on imports; what they import comes with them."""
ENDINGS = (".py", ".toml")
FIXED_TIME = (1980, 1, 1, 0, 0, 0)
FILE_MODE = 0o100644 << 16


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
    """Name in the zip -> content, sorted."""
    files = {
        f"{ADDON.name}/{path.relative_to(ADDON).as_posix()}": path.read_bytes()
        for path in ADDON.rglob("*")
        if path.suffix in ENDINGS
    }
    for name in shared_modules():
        files[f"{ADDON.name}/{SHARED.name}/{name}.py"] = (SHARED / f"{name}.py").read_bytes()
    files[f"{ADDON.name}/LICENSE"] = (ROOT / "LICENSE").read_bytes()
    return dict(sorted(files.items()))


def build(target: Path) -> str:
    """Write the zip; its SHA-256."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in contents().items():
            info = zipfile.ZipInfo(name, FIXED_TIME)
            info.external_attr, info.compress_type, info.create_system = FILE_MODE, zipfile.ZIP_DEFLATED, 3
            archive.writestr(info, data, compresslevel=9)
    return hashlib.sha256(target.read_bytes()).hexdigest()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path)
    target: Path = parser.parse_args().target
    sys.stdout.write(f"{build(target)}  {target}\n")


if __name__ == "__main__":
    main()
