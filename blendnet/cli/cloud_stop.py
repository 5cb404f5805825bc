"""`blendnet cloud stop` and `cloud destroy`: the farm's Manager in a cloud, and all that belongs to it, ended."""

from __future__ import annotations

import click

from blendnet.cli import output
from blendnet.cli.cloud_headquarters import Headquarters, headquarters_of, unfinished
from blendnet.cli.cloud_place import choice_of, place_options
from blendnet.cli.options import data_option, json_option
from blendnet.errors import BlendNetError, FarmError
from blendnet.manager.folder import DataFolder
from blendnet.provision.manager_machine import ManagerState

RUNS = (ManagerState.STARTING, ManagerState.RUNNING)
SHOWN = 5
"""Jobs that a question names."""


@click.command()
@place_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_option
@json_option
def stop(
    provider: str | None,
    region: str | None,
    option: tuple[str, ...],
    yes: bool,
    folder: DataFolder,
    as_json: bool,
) -> None:
    """Stop the farm's Manager and all its agents; everything is kept, and goes on with `cloud start`.

    \b
    Examples:
      blendnet cloud stop
      blendnet cloud stop --yes --json

    Asks when jobs are not finished. A stopped Manager costs no more than its disk and bucket.
    """
    headquarters = headquarters_of(choice_of(provider, region, option), folder)
    machine = headquarters.host.look()
    if machine.state in RUNS and not yes:
        _ask(headquarters, "Stop the Manager?")
    with output.waiting("Stopping: agents first, then the Manager; minutes"):
        machine = headquarters.stop()
        headquarters.end_agents()
    if machine.state not in (ManagerState.STOPPED, ManagerState.ABSENT):
        raise FarmError(f"{machine.id} is still {machine.state.value}: look again with `blendnet cloud status`")
    if as_json:
        output.print_json({"farm": headquarters.label, "state": machine.state.value, "disk": machine.disk})
    elif machine.state is ManagerState.ABSENT:
        output.say(f"There is no Manager's machine of {headquarters.label}.")
    else:
        output.say(f"{machine.id} is stopped; its disk {machine.disk} keeps everything until `blendnet cloud start`.")


@click.command()
@place_options
@click.option("--keep-data", is_flag=True, help="Remove machines alone; disk, bucket and account stay.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_option
@json_option
def destroy(
    provider: str | None,
    region: str | None,
    option: tuple[str, ...],
    keep_data: bool,
    yes: bool,
    folder: DataFolder,
    as_json: bool,
) -> None:
    """Remove the farm's Manager with disk, bucket and all else of the farm from the cloud, and list what is left.

    \b
    Examples:
      blendnet cloud destroy
      blendnet cloud destroy --keep-data      # the machine alone: `cloud up` makes another one with the same disk
      blendnet cloud destroy --yes --json

    Jobs, results and the farm's authority are lost unless --keep-data says otherwise: download results before. May be
    repeated until nothing is left.
    """
    headquarters = headquarters_of(choice_of(provider, region, option), folder)
    there = _remains(headquarters)
    if there and not yes:
        for name in there:
            output.say(name)
        if headquarters.host.look().state is ManagerState.RUNNING:
            _say_unfinished(headquarters)
        lost = (
            "Remove the Manager's machine and all agents, and nothing else"
            if keep_data
            else "Remove all of it, with all jobs and files"
        )
        click.confirm(f"{lost} ({headquarters.label})?", abort=True, err=True)
    with output.waiting("Removing; machines take minutes to end"):
        _remove(headquarters, keep_data=keep_data)
    left = _remains(headquarters)
    if not left:
        headquarters.farm.forget()
    if as_json:
        output.print_json({"farm": headquarters.label, "there": left})
    else:
        if keep_data and left:
            output.say("The machine is gone. Kept:")
        for name in left:
            click.echo(name)
        if not left:
            output.say(f"Nothing of {headquarters.label} is there.")
    if left and not keep_data:
        count = output.plural(len(left), "thing")
        raise FarmError(f"{count} of {headquarters.label} could not be removed: try again in a minute")
    machine = headquarters.host.look()
    if machine.state is not ManagerState.ABSENT:
        raise FarmError(f"{machine.id} is still {machine.state.value}: try again in a minute")


def _remove(headquarters: Headquarters, *, keep_data: bool) -> None:
    if headquarters.host.look().state in RUNS:
        headquarters.stop()  # It ends its agents: nobody else makes new ones meanwhile.
    headquarters.host.destroy()
    if keep_data:
        headquarters.end_agents()  # Whatever the Manager has left.
    else:
        headquarters.account.remove()


def _remains(headquarters: Headquarters) -> list[str]:
    return sorted(str(thing) for thing in headquarters.account.remains())


def _ask(headquarters: Headquarters, question: str) -> None:
    """Ask when something would be interrupted, or nobody knows whether it would."""
    if _say_unfinished(headquarters):
        click.confirm(question, abort=True, err=True)


def _say_unfinished(headquarters: Headquarters) -> bool:
    """Say what is not finished; False when nothing is."""
    try:
        names = unfinished(headquarters.ask())
    except BlendNetError as error:
        output.say(f"Whether jobs run is not known: {error}")
        return True
    if names:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        output.say(f"Not finished: {', '.join(names[:SHOWN])}{more}. What is rendered is kept with the Manager's disk.")
    return bool(names)
