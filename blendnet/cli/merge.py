"""`blendnet merge`: the merge alone, for anyone's chunks."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import click

from blendnet.cli import output
from blendnet.cli.options import json_option
from blendnet.errors import UserError
from blendnet.merge.command import parse_part
from blendnet.merge.frame import merge_segments


@click.command()
@click.argument("parts", nargs=-1, required=True, metavar="A.exr:OFFSET:COUNT ...")
@click.option("--output", "target", type=click.Path(path_type=Path), required=True, metavar="OUT.exr")
@click.option(
    "--samples", type=click.IntRange(1), metavar="N", help="Samples of the frame. Default: the end of the last part."
)
@click.option("--adaptive", is_flag=True, help="Weigh pixels by their samples (pass Debug Sample Count).")
@json_option
def merge(parts: tuple[str, ...], target: Path, samples: int | None, adaptive: bool, as_json: bool) -> None:
    """Merge multilayer EXR files, each holding some samples of one frame, into the frame.

    A part is named FILE:OFFSET:COUNT: the file holds samples OFFSET to OFFSET+COUNT-1. Parts may come in any order; the
    result is the same to the bit. Gaps, overlaps, other sizes, channels or Blender versions are refused by name.

    \b
    Example:
      blendnet merge --output frame.exr a.exr:0:24 b.exr:24:40
    """
    segments = [parse_part(part) for part in parts]
    _check_folder(target)
    report = merge_segments(segments, target, total=samples, adaptive=adaptive, threads=os.cpu_count() or 1)
    if as_json:
        output.print_json({"output": str(target.absolute()), **dataclasses.asdict(report)})
        return
    click.echo(target)
    size = f"{report.width}x{report.height}, {output.plural(report.channels, 'channel')}"
    output.say(f"{output.plural(report.samples, 'sample')} of {output.plural(report.segments, 'part')}, {size}.")
    for note in report.approximate:
        output.say(f"Only approximate: {note}")
    for bad in report.bad:
        output.say(f"NaN or infinite: {output.plural(bad.pixels, 'pixel')} of {bad.layer}.{bad.name}")


def _check_folder(target: Path) -> None:
    folder = target.absolute().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UserError(f"cannot write {target}: {folder} is no folder that can be written to")
