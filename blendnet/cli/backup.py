"""`blendnet backup` and `restore`: the ledger in one file."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

import click

from blendnet.cli import output
from blendnet.cli.options import data_option, json_option
from blendnet.manager.folder import DataFolder
from blendnet.settings import get_settings, resolve_ledger_url


def _ledger_url(folder: DataFolder) -> str:
    return resolve_ledger_url(get_settings().model_copy(update={"data": folder.root}))


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@data_option
@json_option
def backup(file: Path, folder: DataFolder, as_json: bool) -> None:
    """Write the farm's ledger into one file, also while the farm runs and renders.

    The ledger says which jobs, frames and samples there are; the files themselves lie in the folder `store`: copy that
    after the ledger. What a restored ledger wants and the store lacks is made again.

    \b
    Examples:
      blendnet backup ledger.backup
      blendnet backup --data /big/disk/farm /elsewhere/$(date +%F).backup
    """
    from blendnet.manager.backup import save

    manifest = save(_ledger_url(folder), file, now=time.time())
    if as_json:
        output.print_json({"file": str(file.absolute()), **asdict(manifest)})
    else:
        output.say(f"The ledger ({output.size(manifest.size_bytes)}, schema {manifest.revision}) is in {file}.")


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@data_option
@json_option
def restore(file: Path, folder: DataFolder, as_json: bool) -> None:
    """Put a backup in the place of the farm's ledger. The farm must be down; the old ledger is kept beside it.

    The next `blendnet up` goes on from the backup: samples and pictures that are newer are rendered again, and what the
    ledger wants and the store lacks is made again.

    \b
    Example:
      blendnet down && blendnet restore ledger.backup && blendnet up
    """
    from blendnet.manager.backup import restore as put_back

    manifest, aside = put_back(_ledger_url(folder), file, folder)
    if as_json:
        output.print_json({"restored": str(file.absolute()), "aside": str(aside), **asdict(manifest)})
        return
    made = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(manifest.created_at))
    output.say(f"The ledger is that of {made}. The one it replaced is kept as {aside}.")
