"""`blendnet deps`: the files a scene needs."""

from __future__ import annotations

from pathlib import Path

import click

from blendnet.cli import output
from blendnet.cli.options import blender_option, json_option
from blendnet.cli.scene import NeededFile, check_scene_file, find_build, missing_text, needed_files
from blendnet.errors import MissingFiles


@click.command()
@click.argument("scene", type=click.Path(path_type=Path), metavar="SCENE.blend")
@blender_option
@click.option("--allow-missing", is_flag=True, help="Exit with 0 even if files are missing.")
@json_option
def deps(scene: Path, wanted: str | None, allow_missing: bool, as_json: bool) -> None:
    """List every file a scene needs, with sizes: images, libraries of libraries, sequences, caches, fonts, ...

    \b
    Examples:
      blendnet deps scene.blend
      blendnet deps scene.blend --json | jq '.files[] | select(.missing)'

    Ends with an error when a file is missing.
    """
    path = check_scene_file(scene)
    files = needed_files(path, find_build(wanted))
    missing = [file for file in files if file.missing]
    sizes = {file.path: _size(file) for file in files}
    total = sum(size or 0 for size in sizes.values())
    if as_json:
        rows = [{**file.model_dump(), "size_bytes": sizes[file.path]} for file in files]
        output.print_json({"scene": str(path), "files": rows, "missing": len(missing), "size_bytes": total})
    else:
        output.print_table(["KIND", ">SIZE", "FILE"], [_row(file, sizes[file.path]) for file in files])
        output.say(f"{output.plural(len(files), 'file')}, {output.size(total)}, {len(missing)} missing.")
    if missing and not allow_missing:
        if as_json:
            raise click.exceptions.Exit(1)
        raise MissingFiles(missing_text(path, missing), tuple(file.path for file in missing))


def _size(file: NeededFile) -> int | None:
    try:
        return Path(file.path).stat().st_size
    except OSError:
        return None


def _row(file: NeededFile, size_bytes: int | None) -> tuple[str, str, str]:
    return file.kind, "MISSING" if size_bytes is None else output.size(size_bytes), file.path
