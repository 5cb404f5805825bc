"""The example of docs/providers.md, installed as pip would install it: its module and its entry point."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from blendnet.provision.base import Place, Provider
from blendnet.provision.registry import open_provider

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "provider_processes"
MODULE = "blendnet_processes"
PROJECT = tomllib.loads((EXAMPLE / "pyproject.toml").read_text("utf-8"))["project"]
STAYS = "exec sleep 600\n"
"""User data of a machine that keeps running."""


def install(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the example for the length of a test."""
    source = (EXAMPLE / f"{MODULE}.py").read_text("utf-8")
    install_package(site, monkeypatch, module=MODULE, source=source, project=PROJECT)


def install_package(
    site: Path, monkeypatch: pytest.MonkeyPatch, *, module: str, source: str, project: Mapping[str, Any]
) -> None:
    """What pip leaves in site-packages for a package of one module; `project`: of its pyproject.toml."""
    info = site / f"{module}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    (site / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(site)
    monkeypatch.delitem(sys.modules, module, raising=False)


def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Provider]]:
    """Opens the provider by its name, for a farm; what its machines leave running is ended afterwards."""
    install(tmp_path / "site", monkeypatch)
    made: list[Provider] = []

    def open_it(farm: str = "farm", **options: str) -> Provider:
        place = Place(farm=farm, options={"folder": str(tmp_path / "machines"), **options})
        made.append(open_provider("processes", place))
        return made[-1]

    yield open_it
    for provider in made:
        provider.destroy([instance.name for instance in provider.list()])
