"""`blendnet job links`: addresses under which a job's results can be fetched from the farm's bucket by any program."""

from __future__ import annotations

from typing import Any

import click

from blendnet.cli import output
from blendnet.cli.connect import find_job, manager
from blendnet.cli.options import data_option, json_option
from blendnet.errors import CapReached, Conflict
from blendnet.manager.folder import DataFolder


@click.command()
@click.argument("job_id", metavar="JOB")
@data_option
@json_option
def links(job_id: str, folder: DataFolder, as_json: bool) -> None:
    """Print where a job's results can be fetched straight from the farm's bucket, without a login, for some minutes.

    \b
    Examples:
      blendnet job links 7f3a
      blendnet job links 7f3a --json | jq -r '.[] | "\\(.url) \\(.path)"'

    Whoever has an address can fetch that file until it expires (BLENDNET_STORE_LINK_S). `blendnet job download` goes
    the same way, and checks what comes.
    """
    found: list[dict[str, Any]] = []
    with manager(folder) as client:
        try:
            for result in client.results(find_job(client, job_id).id):
                there = client.address(result.sha256)
                if there.url is None:
                    raise Conflict(
                        "this farm keeps its files on the Manager's disk, or has no key to sign addresses with: "
                        f"`blendnet job download {job_id}` fetches them"
                    )
                found.append({**result.model_dump(mode="json"), "url": there.url, "expires_s": there.expires_s})
        except CapReached:
            _print(found, aside=as_json)  # They are on the bill. The result of --json is the error.
            raise
    if as_json:
        output.print_json(found)
    else:
        _print(found)


def _print(found: list[dict[str, Any]], *, aside: bool = False) -> None:
    """A line for each address; `aside`: on stderr."""
    for one in found:
        click.echo(f"{one['path']}  {one['url']}", err=aside)
    if found:
        output.say(f"They expire in {output.duration(min(float(one['expires_s']) for one in found))}.")
