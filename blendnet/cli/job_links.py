"""`blendnet job links`: addresses under which a job's results can be fetched from the farm's bucket by any program."""

from __future__ import annotations

import click

from blendnet.cli import output
from blendnet.cli.connect import find_job, manager
from blendnet.cli.options import data_option, json_option
from blendnet.errors import Conflict
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
    found = []
    with manager(folder) as client:
        for result in client.results(find_job(client, job_id).id):
            there = client.address(result.sha256)
            if there.url is None:
                raise Conflict(
                    "this farm keeps its files on the Manager's disk, or has no key to sign addresses with: "
                    f"`blendnet job download {job_id}` fetches them"
                )
            found.append({**result.model_dump(mode="json"), "url": there.url, "expires_s": there.expires_s})
    if as_json:
        output.print_json(found)
        return
    for one in found:
        click.echo(f"{one['path']}  {one['url']}")
    if found:
        output.say(f"They expire in {output.duration(min(float(one['expires_s']) for one in found))}.")
