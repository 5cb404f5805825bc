"""The import table of docs/architecture.md as a test: rooms, their doors, who owns which library, and no cycles."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "blendnet"

EVERYTHING = {
    "errors", "settings", "models", "metadata", "messages", "planner", "tail", "memory", "exactness", "celery_app",
    "farm_redis", "tasks", "client", "cli", "agent", "manager", "merge", "provision", "storage", "security",
}  # fmt: skip

ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "models": {"errors"},
    "metadata": {"errors"},
    "messages": {"errors", "models"},
    "settings": {"errors"},
    "planner": {"errors", "models"},
    "tail": {"models"},
    "memory": set(),
    "exactness": {"errors", "models", "messages"},
    "celery_app": {"settings", "farm_redis"},
    "farm_redis": set(),
    "tasks": {"celery_app", "errors", "settings", "models", "agent", "merge", "manager"},
    "client": {"errors", "models", "messages", "security", "storage"},
    "cli": EVERYTHING,
    "agent": {
        "celery_app",
        "errors",
        "settings",
        "models",
        "metadata",
        "memory",
        "messages",
        "client",
        "merge",
        "storage",
    },
    "manager": EVERYTHING - {"agent", "cli", "tasks"},
    "merge": {"errors", "models"},
    "provision": {"errors", "models", "settings", "planner"},
    "storage": {"errors", "messages"},
    "security": {"errors"},
}

OWNERS: dict[str, tuple[str, ...]] = {
    "OpenEXR": ("merge/exr.py",),
    "sqlalchemy": ("manager/ledger/",),
    "alembic": ("manager/ledger/",),
    "bpy": ("agent/inside.py", "agent/in_blender/"),
    "httpx": ("client.py", "client/"),
    "fastapi": ("manager/",),
    "starlette": ("manager/",),
    "uvicorn": ("manager/",),
    "celery": ("celery_app.py", "farm_redis.py", "tasks.py", "agent/worker.py", "manager/", "cli/"),
    "cryptography": ("security/",),
    "argon2": ("security/",),
    "rich": ("cli/",),
    "click": ("cli/",),
    "boto3": ("provision/aws", "storage/s3"),
    "botocore": ("provision/aws", "storage/s3"),
    "google": ("provision/gcp", "storage/gcs"),
    "libcloud": ("provision/libcloud",),
}
"""Third-party package -> the only places that may import it."""


def _modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@cache
def _imports(path: Path) -> set[str]:
    """Absolute dotted names imported anywhere in the file, also inside functions; relative ones resolved."""
    found: set[str] = set()
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in _statements(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """All below a node, however deep. An import is a statement: the many more expressions need no look."""
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        for child in getattr(node, name, ()):
            yield child
            yield from _statements(child)


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@pytest.mark.parametrize("path", _modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_module_imports_only_what_its_room_may(path: Path) -> None:
    room = _room(path)
    if room == "__init__":
        return
    rooms = {name.split(".")[1] for name in _imports(path) if name.startswith("blendnet.")} - {"__version__"}
    assert rooms - {room} <= ALLOWED[room], f"{room} may not import {sorted(rooms - {room} - ALLOWED[room])}"


@pytest.mark.parametrize("path", _modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_module_leaves_libraries_to_their_owners(path: Path) -> None:
    where = path.relative_to(PACKAGE).as_posix()
    for name in {name.split(".")[0] for name in _imports(path)}:
        assert where.startswith(OWNERS.get(name, ("",))), f"{where} imports {name}, which belongs to {OWNERS[name]}"


def test_imports_form_no_cycle() -> None:
    names = {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in _modules()}
    edges = {
        name: {target for found in _imports(path) if (target := _known(found, names)) and target != name}
        for name, path in names.items()
    }
    assert _cycle(edges) is None


def _known(found: str, names: dict[str, Path]) -> str | None:
    if found in names:
        return found
    parent = found.rpartition(".")[0]
    return parent if parent in names else None


def _cycle(edges: dict[str, set[str]]) -> list[str] | None:
    """A cycle of module-level names, or None."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str] | None:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return None
        for target in sorted(edges[name]):
            if cycle := visit(target, [*path, name]):
                return cycle
        done.add(name)
        return None

    return next((cycle for name in sorted(edges) if (cycle := visit(name, []))), None)


@pytest.mark.parametrize("path", _modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_module_fits_its_room(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 400
