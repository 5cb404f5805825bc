"""`blendnet fleet`: the machines that come and go by themselves, and why."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click

from blendnet.cli import output
from blendnet.cli.connect import manager
from blendnet.cli.options import data_option, json_option
from blendnet.errors import UserError
from blendnet.manager.folder import DataFolder
from blendnet.messages import FleetLeftover, FleetView


@click.group(invoke_without_command=True)
@click.option("--go-on", is_flag=True, help="You have looked at what the cloud refused: ask for machines again.")
@data_option
@json_option
@click.pass_context
def fleet(context: click.Context, go_on: bool, folder: DataFolder, as_json: bool) -> None:
    """Show the machines that come and go by themselves, and why there are so many.

    \b
    Examples:
      BLENDNET_FLEET_PROVIDER=local BLENDNET_FLEET_MAX=4 blendnet up --agents 0
      blendnet fleet
      blendnet fleet --json | jq .explain
      blendnet fleet forget "aws in eu-central-1"

    docs/scaling.md explains how many machines are started and when they end, and every setting (BLENDNET_FLEET_...).
    """
    if context.invoked_subcommand is not None:
        return
    with manager(folder) as client:
        view = client.fleet_go_on() if go_on else client.fleet()
    if as_json:
        output.print_json(view.model_dump(mode="json"))
    else:
        print_fleet(view)


@fleet.command()
@click.argument("place", metavar="PLACE")
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_option
@json_option
def forget(place: str, yes: bool, folder: DataFolder, as_json: bool) -> None:
    """Count the machines of a place no longer that the Manager cannot ask any more.

    \b
    Examples:
      blendnet fleet                                # names the place: "2 of aws in eu-central-1 may still run"
      blendnet fleet forget "aws in eu-central-1"

    For a place whose credentials are gone for good. Look at the cloud's own page before: machines that run there go on
    costing money, and nobody counts it. The ledger keeps a note of each. PLACE may be the provider's name alone when
    there is one place of it.
    """
    with manager(folder) as client:
        which = _leftover(place, client.fleet().leftovers)
        if not yes:
            output.say(f"{which.text}.")
            click.confirm("Count them no longer, whether they run or not?", abort=True, err=True)
        forgotten = client.fleet_forget(which.provider, which.place)
    if as_json:
        output.print_json(forgotten.model_dump(mode="json"))
        return
    count = output.plural(len(forgotten.machines), "machine")
    output.say(f"{count} forgotten. If they run on, {output.usd(forgotten.usd_per_hour)} an hour is not counted.")


def _leftover(place: str, leftovers: Sequence[FleetLeftover]) -> FleetLeftover:
    """The one that is meant. Raises UserError."""
    names = {_called(one): one for one in leftovers}
    if place in names:
        return names[place]
    meant = [one for one in leftovers if place in (one.provider, one.place, f"{one.provider} {one.place}")]
    if len(meant) == 1:
        return meant[0]
    there = ", ".join(f"'{name}'" for name in names) or "none"
    raise UserError(f"no place is called {place!r} whose machines are left over: there is {there}")


def _called(one: FleetLeftover) -> str:
    return f"{one.provider} in {one.place}" if one.place else one.provider


def print_fleet(view: FleetView) -> None:
    """A table of the machines, and what was decided, on stdout."""
    for left in view.leftovers:
        output.say(f"Warning: {left.text}.")
        forget_it = f"count them no longer: `blendnet fleet forget '{_called(left)}'`"
        output.say(
            f"They are ended by this Manager; else: {left.help}"
            if not left.trouble
            else f"Mend it: {left.help}; or, when that place is gone for good, {forget_it}"
        )
    if not view.provider:
        click.echo(
            "Agents are started and ended by hand here (`blendnet agent add`): BLENDNET_FLEET_PROVIDER is not set."
        )
        return
    now = time.time()
    rows = [
        (
            machine.name,
            machine.state if machine.joined_at is None or machine.state == "stopping" else "joined",
            " ".join(filter(None, (machine.machine, machine.zone, "spot" if machine.spot else ""))) or view.provider,
            "-" if machine.usd_per_hour is None else f"{output.usd(machine.usd_per_hour)}/h",
            output.duration(None if machine.launched_at is None else max(0.0, now - machine.launched_at)),
        )
        for machine in view.machines
    ]
    if rows:
        output.print_table(["AGENT", "STATE", "MACHINE", ">PRICE", ">SINCE"], rows)
    elif view.decided_at is None:
        click.echo(f"The machines of {view.provider} have not been looked at yet.")
    else:
        click.echo(f"No machine of {view.provider} runs, and none is paid for.")
    for quota in view.quotas:
        if quota.holds:
            used = "?" if quota.used is None else f"{quota.used:g}"
            click.echo(f"Quota {quota.name}: {used} of {quota.limit or 0:g} {quota.unit} are in use.")
    for line in view.explain:
        click.echo(line)
    if view.stopped:
        click.echo("Nothing is asked for until you have looked: then say `blendnet fleet --go-on`.")
    if view.trouble:
        output.say(f"Warning: {view.trouble}")
