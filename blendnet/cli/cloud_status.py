"""`blendnet cloud status` and `cloud logs`: how the farm's Manager in a cloud is, and what it says."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import click

from blendnet.cli import output
from blendnet.cli.cloud_headquarters import Headquarters, headquarters_of, last_words
from blendnet.cli.cloud_place import choice_of, place_options
from blendnet.cli.farm import print_jobs
from blendnet.cli.options import data_option, json_option
from blendnet.errors import BlendNetError, FarmError
from blendnet.manager.folder import DataFolder
from blendnet.messages import FarmView
from blendnet.provision.manager_machine import ManagerMachine, ManagerState
from blendnet.provision.manager_price import ManagerPrice
from blendnet.security.published import Published
from blendnet.settings import get_settings


@dataclass(frozen=True)
class Sight:
    """All that can be seen of a Manager."""

    machine: ManagerMachine
    price: ManagerPrice
    said: Published | None
    view: FarmView | None
    """None: it does not answer."""
    why: str
    """It does not."""
    console: Sequence[str] = ()
    """What a machine says that has not become a Manager: the last of it."""

    @property
    def up_s(self) -> float:
        """Since the machine's last start; 0 while it costs no more than its disk."""
        runs = self.machine.state in (ManagerState.STARTING, ManagerState.RUNNING, ManagerState.STOPPING)
        return max(0.0, time.time() - self.machine.started_at) if runs and self.machine.started_at else 0.0

    @property
    def usd_per_hour(self) -> float | None:
        """Now."""
        if self.machine.state in (ManagerState.STOPPED, ManagerState.ABSENT):
            return self.price.stopped_usd_per_hour
        return self.price.usd_per_hour


@click.command()
@place_options
@data_option
@json_option
def status(
    provider: str | None, region: str | None, option: tuple[str, ...], folder: DataFolder, as_json: bool
) -> None:
    """Show the farm's Manager in the cloud: its machine, what it costs, whether it answers, its jobs.

    \b
    Examples:
      blendnet cloud status
      blendnet cloud status --json | jq .machine.state

    Notes its present address for all other commands.
    """
    headquarters = headquarters_of(choice_of(provider, region, option), folder)
    with output.waiting(f"Asking {headquarters.provider.name}"):
        sight = _look(headquarters)
    if as_json:
        output.print_json(_record(headquarters, sight))
        return
    output.print_pairs(_pairs(headquarters, sight))
    if sight.view and sight.view.jobs:
        click.echo()
        print_jobs(sight.view.jobs)


@click.command()
@place_options
@data_option
@json_option
def logs(provider: str | None, region: str | None, option: tuple[str, ...], folder: DataFolder, as_json: bool) -> None:
    """Show the console of the Manager's machine and, when the Manager answers, the end of its own log.

    \b
    Examples:
      blendnet cloud logs
      blendnet cloud logs --json | jq -r .manager

    The console holds what the machine said while it started and installed itself; clouds show it a few minutes late.
    """
    headquarters = headquarters_of(choice_of(provider, region, option), folder)
    console, manager, troubles = "", "", []
    try:
        console = headquarters.host.log()
    except BlendNetError as error:
        troubles.append(f"the console cannot be read: {error}")
    try:
        headquarters.said()
        with headquarters.client() as client:
            manager = client.farm_log()
    except BlendNetError as error:
        troubles.append(f"the Manager's own log cannot be read: {error}")
    if as_json:
        output.print_json({"farm": headquarters.label, "console": console, "manager": manager, "troubles": troubles})
        return
    if not console and not manager:
        raise FarmError(f"nothing can be read of the Manager: {'; '.join(troubles) or 'its console is empty (yet)'}")
    for title, text in (("console", console), ("Manager", manager)):
        if text:
            click.echo(f"=== {title} ===")
            click.echo(text.rstrip("\n"))
    for trouble in troubles:
        output.say(trouble)


def _look(headquarters: Headquarters) -> Sight:
    machine = headquarters.host.look()
    price = headquarters.price(machine.machine or headquarters.site.machine, machine.disk_gb, get_settings())
    said, view, why = None, None, f"its machine is {machine.state.value}"
    try:
        said = headquarters.said()
        if machine.state is ManagerState.RUNNING:
            view, why = headquarters.ask(), ""
    except BlendNetError as error:
        why = str(error)
    console: Sequence[str] = ()
    if machine.id and said is None:
        with contextlib.suppress(BlendNetError):  # Clouds show it late, or not when the machine is stopped.
            console = last_words(headquarters.host.log())
    return Sight(machine, price, said, view, why, console)


def _pairs(headquarters: Headquarters, sight: Sight) -> Sequence[tuple[str, object]]:
    machine, said = sight.machine, sight.said
    where = " ".join(part for part in (machine.id, machine.machine, machine.zone) if part)
    spent = sight.price.usd(sight.up_s) if sight.up_s else None
    since = f"since {output.local_time(machine.started_at)}" if sight.up_s and machine.started_at else ""
    hourly = "?" if sight.usd_per_hour is None else f"{output.usd(sight.usd_per_hour)}/h"
    return [
        ("Farm", f"{headquarters.label} at {headquarters.provider.name}, {headquarters.site.region}"),
        ("Machine", f"{machine.state.value}{f' ({where})' if where else ''} {since}".rstrip()),
        ("Address", machine.address),
        ("Disk", f"{machine.disk}, {machine.disk_gb} GB" if machine.disk else "none"),
        ("Cost", f"{hourly} now" + ("" if spent is None else f", about {output.usd(spent)} since its start")),
        ("Manager", f"answers at {said.url}, version {sight.view.version}" if sight.view and said else
         f"does not answer: {sight.why}"),
        ("Console", sight.console),
        ("Ended", said.ended if said and said.ended and not sight.view else ""),
        ("Authority", said.fingerprint if said else ""),
        ("Farm's cost", None if sight.view is None or sight.view.cost_usd is None else output.usd(sight.view.cost_usd)),
    ]  # fmt: skip


def _record(headquarters: Headquarters, sight: Sight) -> dict[str, Any]:
    machine, price, said, view = sight.machine, sight.price.price, sight.said, sight.view
    return {
        "farm": headquarters.label,
        "provider": headquarters.provider.name,
        "region": headquarters.site.region,
        "machine": {**asdict(machine), "state": machine.state.value},
        "usd_per_hour": sight.usd_per_hour,
        "usd_since_start": sight.price.usd(sight.up_s) if sight.up_s else None,
        "price": None if price is None else {"source": price.source, "age_s": round(price.age_s(time.time()), 1)},
        "manager": {
            "answers": view is not None,
            "why": sight.why,
            "url": said.url if said else None,
            "version": said.version if said else None,
            "ca_sha256": said.fingerprint if said else None,
            "said_at": said.time if said else None,
            "ended": said.ended if said else "",
            "console": list(sight.console),
        },
        "jobs": None if view is None else [job.model_dump(mode="json") for job in view.jobs],
        "cost_usd": None if view is None else view.cost_usd,
    }
