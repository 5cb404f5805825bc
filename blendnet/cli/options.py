"""Options that several commands share, so that they read and behave alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., object])

SAMPLES_MAX = 1 << 24
AGENTS_MAX = 100_000


class Amount(click.FloatRange):
    """A range that nan is not in: click compares it with both ends, and finds it beyond neither."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As click's own. Raises click.BadParameter."""
        found = super().convert(value, param, ctx)
        if math.isnan(found):
            self.fail(f"{value} is no amount", param, ctx)
        return found


def json_option(function: Function) -> Function:
    """--json: the result as one JSON object on stdout."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")(function)


def data_option(function: Function) -> Function:
    """--data: the farm's folder; the function gets a DataFolder."""
    return click.option(
        "--data",
        "folder",
        type=click.Path(path_type=Path),
        callback=_data_folder,
        metavar="DIR",
        help="Folder of the farm: jobs, files, logs. Default: $BLENDNET_DATA, else ~/.local/share/blendnet/farm.",
    )(function)


def _data_folder(_context: click.Context, _parameter: click.Parameter, value: Path | None) -> object:
    from blendnet.manager.folder import DataFolder
    from blendnet.settings import get_settings

    return DataFolder(value or get_settings().data)


def agents_option(function: Function) -> Function:
    """--agents: how many agents a farm starts with."""
    return click.option(
        "--agents",
        type=click.IntRange(1, 64),
        default=None,
        metavar="N",
        help="Agents to start. One uses all cores; more help when frames are tiny or scenes load slowly. Default: 1.",
    )(function)


def blender_option(function: Function) -> Function:
    """--blender: the build that opens and renders the scene."""
    return click.option(
        "--blender",
        "wanted",
        default=None,
        metavar="VERSION|PATH",
        help="Blender to render with: a version (4.5, 3.4.1) or the path of a program. See `blendnet blender list`.",
    )(function)


def scene_options(function: Function) -> Function:
    """What a job takes from the command line instead of from the scene."""
    for option in reversed(_SCENE_OPTIONS):
        function = option(function)
    return blender_option(function)


_SCENE_OPTIONS = (
    click.option("--frames", metavar="LIST", help="Frames, as 1-10,20,30-40x2. Default: the scene's range."),
    click.option(
        "--samples", type=click.IntRange(1, SAMPLES_MAX), metavar="N", help="Samples of a frame. Default: the scene's."
    ),
    click.option(
        "--strategy",
        type=click.Choice(["auto", "split", "frame"]),
        default="auto",
        show_default=True,
        help="split: several agents share a frame; frame: every agent renders whole frames.",
    ),
    click.option(
        "--chunk-samples",
        type=click.IntRange(1, SAMPLES_MAX),
        metavar="N",
        help="Samples of one chunk. Default: chosen from measured times.",
    ),
    click.option(
        "--device",
        type=click.Choice(["CPU", "CUDA", "OPTIX", "HIP", "METAL", "ONEAPI"], case_sensitive=False),
        default="CPU",
        show_default=True,
        help="A GPU that no agent has is an error, never a silent CPU render.",
    ),
    click.option(
        "--resolution", type=click.IntRange(1, 1000), metavar="PERCENT", help="Of the scene's size. Default: its own."
    ),
    click.option(
        "--cap",
        type=Amount(0, 1e9, min_open=True),
        metavar="USD",
        help="Most that the job may cost: it is paused in time. Default: no cap.",
    ),
    click.option(
        "--agents-max",
        type=click.IntRange(1, AGENTS_MAX),
        metavar="N",
        help="Most agents that work on the job at once; other jobs get the rest. Default: all.",
    ),
    click.option("--priority", type=click.IntRange(0, 100), default=50, show_default=True, help="Higher goes first."),
    click.option("--name", metavar="TEXT", help="Name of the job. Default: the scene's file name."),
    click.option("--allow-missing", is_flag=True, help="Render even if files that the scene uses are missing."),
)
