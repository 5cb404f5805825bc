"""`blendnet blender`: the Blender builds of this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, Progress, TextColumn

from blendnet.agent import blenders
from blendnet.agent.blenders import Build, Source
from blendnet.cli import output
from blendnet.cli.options import json_option
from blendnet.errors import BlenderMissing
from blendnet.settings import get_settings


@click.group(no_args_is_help=True)
def blender() -> None:
    """List and install the Blender builds of this machine; several versions live side by side.

    \b
    Examples:
      blendnet blender list
      blendnet blender install 4.5
      blendnet blender path ~/blender-4.2/blender

    A version is installed as the bpy wheel of PyPI in an environment of its own, or, where there is none, as
    blender.org's archive. Blender programs on PATH are found by themselves; others are made known by `path`.
    """


@blender.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the builds that --blender can name."""
    settings = get_settings()
    builds = blenders.known(settings.blenders_dir)
    default = _default(settings.blender, settings.blenders_dir)
    if as_json:
        output.print_json([{**_record(build), "default": build == default} for build in builds])
        return
    if not builds:
        output.say("No Blender on this machine yet: run `blendnet blender install 4.5`.")
    rows = [(build.version, build.kind, build.path, "default" if build == default else "") for build in builds]
    output.print_table(["VERSION", "KIND", "PATH", ""], rows)


@blender.command()
@click.argument("version", metavar="VERSION|FILE")
@click.option("--if-missing", is_flag=True, help="Do nothing, quietly, when it is there already.")
@click.option("--sha256", default="", metavar="HEX", help="The only hash that the wheel or archive may have.")
@click.option("--url", default="", metavar="URL", help="Take this .tar.xz of Blender; needs --sha256.")
@click.option(
    "--lock",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="pip's requirements, with hashes, of all that the wheel needs.",
)
@json_option
def install(version: str, if_missing: bool, sha256: str, url: str, lock: Path | None, as_json: bool) -> None:
    """Install a Blender, for example 4.5 or 4.5.15; a FILE is made known as by `blendnet blender path`.

    \b
    Examples:
      blendnet blender install 4.5
      blendnet blender install 3.6
      blendnet blender install 4.2 --json
      blendnet blender install 4.5.15 --sha256 3f2c...
      blendnet blender install 4.2.1 --url https://mirror.example/blender.tar.xz --sha256 9ab1...

    What comes is held against a hash and refused when it has another: that of --sha256, else the one that PyPI
    publishes with the wheel, or blender.org with the archive.
    """
    settings = get_settings()
    folder = settings.blenders_dir
    if not blenders.VERSION.match(version):
        _say_build(blenders.register(Path(version), folder), as_json, quiet=False)
        return
    have = [build for build in blenders.installed(folder) if blenders.matches(build.version, version)]
    source = Source(sha256, url, lock, settings.blender_mirror)
    _say_build(_install(version, folder, source), as_json, quiet=if_missing and bool(have))


@blender.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def path(file: Path, as_json: bool) -> None:
    """Make a Blender program known, so that --blender VERSION finds it.

    \b
    Example:
      blendnet blender path ~/blender-4.2.1-linux-x64/blender
    """
    _say_build(blenders.register(file, get_settings().blenders_dir), as_json, quiet=False)


def _install(version: str, folder: Path, source: Source) -> Build:
    """Install with a bar on a terminal, with a line for each step elsewhere."""
    if not sys.stderr.isatty():
        said: set[str] = set()

        def tell(step: str, share: float | None) -> None:
            if step not in said:
                said.add(step)
                output.say(step)

        return blenders.install(version, folder, progress=tell, source=source)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), console=output.console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task("", total=None)

        def show(step: str, share: float | None) -> None:
            bar.update(task, description=step, total=None if share is None else 1.0, completed=share or 0.0)

        return blenders.install(version, folder, progress=show, source=source)


def _say_build(build: Build, as_json: bool, *, quiet: bool) -> None:
    if as_json:
        output.print_json(_record(build))
    elif not quiet:
        output.say(f"Blender {build.version} is ready: {build.path}")


def _record(build: Build) -> dict[str, Any]:
    return {"version": build.version, "kind": build.kind, "path": str(build.path)}


def _default(wanted: str, folder: Path) -> Build | None:
    try:
        return blenders.find(wanted, folder)
    except BlenderMissing:
        return None
