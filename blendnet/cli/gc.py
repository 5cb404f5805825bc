"""`blendnet gc`: room on the Manager's disk."""

from __future__ import annotations

import re
import time

import click

from blendnet.cli import output
from blendnet.cli.connect import manager
from blendnet.cli.doctor import runs, stopped_farm
from blendnet.cli.options import data_option, json_option
from blendnet.manager.folder import DataFolder
from blendnet.messages import GarbageReport, GarbageRequest

SIZES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
         "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}  # fmt: skip
TIMES_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def size_bytes(text: str) -> int:
    """'50GB' or '1.5 GiB' in bytes. Raises BadParameter."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text.strip())
    if not found or found[2].upper() not in SIZES:
        raise click.BadParameter(f"{text!r} is not a size such as 50GB")
    return int(float(found[1]) * SIZES[found[2].upper()])


def seconds(text: str) -> float:
    """'14d' or '12h' in seconds. Raises BadParameter."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", text.strip().lower())
    if not found:
        raise click.BadParameter(f"{text!r} is not a time such as 14d")
    return float(found[1]) * TIMES_S[found[2]]


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@click.option("--max-size", metavar="SIZE", help="Delete from the oldest ended jobs on until the store fits: 50GB.")
@click.option("--older-than", metavar="TIME", help="Delete jobs that ended longer ago: 14d, 12h.")
@data_option
@json_option
def gc(dry_run: bool, max_size: str | None, older_than: str | None, folder: DataFolder, as_json: bool) -> None:
    """Delete what nothing needs: files without a job, cut uploads, damaged files, previews of ended jobs, old logs.

    With --max-size, segments of merged frames go first, those of the job that ended longest ago at the head; the merged
    frames stay. If that is not enough, whole ended jobs go. Jobs that have not ended are never touched.

    \b
    Examples:
      blendnet gc --dry-run
      blendnet gc --max-size 50GB
      blendnet gc --older-than 14d
    """
    limits = {"max_bytes": size_bytes(max_size) if max_size else 0}
    age = {"older_than_s": seconds(older_than) if older_than else 0.0}
    report = _collect(folder, GarbageRequest(dry_run=dry_run, **limits, **age))
    if as_json:
        output.print_json(report.model_dump(mode="json"))
        return
    if report.removals:
        rows = [(removal.text, output.size(removal.size_bytes)) for removal in report.removals]
        output.print_table(["WOULD BE DELETED" if dry_run else "DELETED", ">SIZE"], rows)
    verb = "would be" if dry_run else "are"
    output.say(
        f"{output.size(report.freed_bytes)} {verb} free again; the store holds {output.size(report.store_bytes)}."
    )


def _collect(folder: DataFolder, request: GarbageRequest) -> GarbageReport:
    if runs(folder):
        with manager(folder) as client:
            return client.collect(request)
    with stopped_farm(folder) as farm:
        return farm.collect(request, time.time())
