"""`blendnet fleet`: the machines that come and go by themselves, and why."""

from __future__ import annotations

import time

import click

from blendnet.cli import output
from blendnet.cli.connect import manager
from blendnet.cli.options import data_option, json_option
from blendnet.manager.folder import DataFolder
from blendnet.messages import FleetView


@click.command()
@click.option("--go-on", is_flag=True, help="You have looked at what the cloud refused: ask for machines again.")
@data_option
@json_option
def fleet(go_on: bool, folder: DataFolder, as_json: bool) -> None:
    """Show the machines that come and go by themselves, and why there are so many.

    \b
    Examples:
      BLENDNET_FLEET_PROVIDER=local BLENDNET_FLEET_MAX=4 blendnet up --agents 0
      blendnet fleet
      blendnet fleet --json | jq .explain

    docs/scaling.md explains how many machines are started and when they end, and every setting (BLENDNET_FLEET_...).
    """
    with manager(folder) as client:
        view = client.fleet_go_on() if go_on else client.fleet()
    if as_json:
        output.print_json(view.model_dump(mode="json"))
    else:
        print_fleet(view)


def print_fleet(view: FleetView) -> None:
    """A table of the machines, and what was decided, on stdout."""
    for left in view.leftovers:
        output.say(f"Warning: {left.text}.")
        output.say(
            f"They are ended by this Manager; else: {left.help}" if not left.trouble else f"Mend it: {left.help}"
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
