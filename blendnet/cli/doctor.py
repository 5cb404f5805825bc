"""`blendnet doctor`: is everything as it should be?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from blendnet.cli import output
from blendnet.cli.app import EXIT_FAILED
from blendnet.cli.connect import manager
from blendnet.cli.options import data_option, json_option
from blendnet.errors import Conflict
from blendnet.manager.folder import DataFolder
from blendnet.manager.jobs import Farm, open_farm
from blendnet.messages import DoctorReport
from blendnet.settings import get_settings


@click.command()
@click.option("--deep", is_flag=True, help="Also read every file of the store against its hash.")
@click.option("--no-repair", is_flag=True, help="Only look; change nothing.")
@data_option
@json_option
def doctor(deep: bool, no_repair: bool, folder: DataFolder, as_json: bool) -> None:
    """Check a farm, running or not, and repair what can be repaired.

    Looks at the ledger, at every frame's samples, at the files in the store, at the disk, at leases, queues and agents.
    What the store has lost is made again: a picture from the merged frame, the merged frame from its segments, a
    segment by rendering its samples. Exits with 0 when nothing is wrong any more.

    \b
    Examples:
      blendnet doctor
      blendnet doctor --deep --json
      blendnet doctor --data /big/disk/farm --no-repair
    """
    report = _examine(folder, deep=deep, repair=not no_repair)
    if as_json:
        output.print_json({"well": report.well, **report.model_dump(mode="json")})
    else:
        rows = [(c.name, f"{c.state.value}{', repaired' if c.repaired else ''}", c.text) for c in report.checks]
        output.print_table(["CHECK", "STATE", ""], rows)
    if not report.well:
        raise click.exceptions.Exit(EXIT_FAILED)


def _examine(folder: DataFolder, *, deep: bool, repair: bool) -> DoctorReport:
    if runs(folder):
        with manager(folder) as client:
            return client.doctor(deep=deep, repair=repair)
    from blendnet.manager.doctor import Doctor

    with stopped_farm(folder) as farm:
        return Doctor(farm, queued=None).examine(time.time(), deep=deep, repair=repair)


def runs(folder: DataFolder) -> bool:
    """True when there is a Manager to ask."""
    return bool(get_settings().manager_url) or folder.cloud_note.exists() or folder.is_owned()


@contextmanager
def stopped_farm(folder: DataFolder) -> Iterator[Farm]:
    """The farm of a folder on which none runs; none can start meanwhile. Raises Conflict when there is none."""
    settings = get_settings().model_copy(update={"data": folder.root})
    if not folder.root.is_dir() or not (settings.ledger_url or (folder.root / "ledger.sqlite").exists()):
        raise Conflict(
            f"there is no farm in {folder.root}: start one with `blendnet up`, or name its folder with --data"
        )
    with folder.owned():
        farm = open_farm(settings)
        try:
            yield farm
        finally:
            farm.ledger.close()
