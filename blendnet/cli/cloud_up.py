"""`blendnet cloud up` and `cloud start`: a Manager in the user's own account, made or started, and found."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from blendnet.cli import output
from blendnet.cli.cloud_bundle import bundle_for
from blendnet.cli.cloud_headquarters import Headquarters, headquarters_of
from blendnet.cli.cloud_place import choice_of, place_options
from blendnet.cli.cloud_stop import RUNS
from blendnet.cli.cloud_types import age_text
from blendnet.cli.cloud_wishes import Wishes, change, checked, hold_caps, keep, kept
from blendnet.cli.options import Amount, data_option, json_option
from blendnet.errors import Conflict
from blendnet.manager.folder import DataFolder
from blendnet.manager.idle import while_text
from blendnet.messages import FarmView
from blendnet.provision.bootstrap_manager import manager_user_data
from blendnet.provision.manager_machine import ManagerMachine, ManagerState, ManagerWanted
from blendnet.provision.manager_price import ManagerPrice
from blendnet.security.credentials import hash_password
from blendnet.settings import get_settings

DISK_GB = 50


@click.command()
@place_options
@click.option("--machine", default="", metavar="TYPE", help="Machine type. Default: a small one of the cloud's.")
@click.option(
    "--disk", "disk_gb", type=click.IntRange(10, 16_000), default=DISK_GB, show_default=True, metavar="GB",
    help="Size of the disk that outlives the machine.",
)  # fmt: skip
@click.option("--zone", default="", metavar="NAME", help="Default: where its disk is, else any of the region.")
@click.option(
    "--idle", "idle_min", type=Amount(0, 10_000), default=None, metavar="MIN",
    help="The Manager stops itself after so many minutes without jobs; 0: never. Default: 30.",
)  # fmt: skip
@click.option("--agents-max", type=click.IntRange(0, 10_000), default=None, metavar="N", help="Most machines at once.")
@click.option(
    "--agents-machines", default=None, metavar="TYPES",
    help="Machine types of agents, separated by commas; '': the cheapest of usual sizes.",
)  # fmt: skip
@click.option("--cap-day", type=Amount(0, 1e9), default=None, metavar="USD", help="Most that a day may cost.")
@click.option(
    "--bundle", type=click.Path(path_type=Path), default=None, metavar="FILE",
    help="What the machine is made from (`make bundle`). Default: $BLENDNET_WORKER_BUNDLE, else packed now.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_option
@json_option
def up(
    provider: str | None,
    region: str | None,
    option: tuple[str, ...],
    machine: str,
    disk_gb: int,
    zone: str,
    idle_min: float | None,
    agents_max: int | None,
    agents_machines: str | None,
    cap_day: float | None,
    bundle: Path | None,
    yes: bool,
    folder: DataFolder,
    as_json: bool,
) -> None:
    """Make a Manager in your own account, or start the one that is there, and wait until it answers.

    \b
    Examples:
      blendnet cloud up --provider aws --region eu-central-1
      blendnet cloud up --provider gcp --option project=my-farm --cap-day 20
      blendnet job submit scene.blend         # afterwards all commands speak to it
      blendnet cloud status

    Shows what it costs by the hour and asks before it makes anything. What it needs in the account (network rules,
    identity, bucket) is made as by `cloud prepare`. Settings such as BLENDNET_FLEET_MAX or BLENDNET_CAP_DAY_USD go with
    it. Without jobs it stops itself after 30 minutes and costs no more than its disk; `cloud start` starts it
    again. May be repeated, also after it was broken off; `cloud remains` lists all that is there, `cloud destroy`
    removes it.

    On a farm that is there, --idle, --agents-max, --agents-machines, --cap-day, --option and the settings change what
    was said before: caps and who may reach it (--option allow=...) at once, the rest from the Manager's next start.
    --machine, --disk, --zone and --bundle are for a machine that is made now.
    """
    settings = get_settings()
    if folder.running():
        raise Conflict(
            f"a farm runs on {folder.root} on this machine: end it with `blendnet down`, or use another --data"
        )
    headquarters = headquarters_of(choice_of(provider, region, option), folder)
    with output.waiting(f"Asking {headquarters.provider.name}"):
        there = headquarters.host.look()
        standard = headquarters.site.machine
    price = headquarters.price(there.machine or machine or standard, max(disk_gb, there.disk_gb), settings)
    wishes = Wishes.of(settings, price, idle_min, agents_max, agents_machines, cap_day)
    if there.state is ManagerState.ABSENT:
        _show(headquarters, price, wishes.idle_s())
        if not yes:
            click.confirm("Make it?", abort=True, err=True)
        made = _make(
            headquarters, ManagerWanted(user_data="", machine=machine, disk_gb=disk_gb, zone=zone), wishes, bundle
        )
        if made.machine != price.machine:
            price = headquarters.price(made.machine, price.disk_gb, settings)
            output.say(f"No {machine or standard} is left there: {made.machine} costs {_hourly(price.usd_per_hour)}.")
            keep(headquarters, {**kept(headquarters), **Wishes.of(settings, price).derived})
    else:
        larger = disk_gb if disk_gb > max(there.disk_gb, DISK_GB) else None
        asked: dict[str, object] = {"--machine": machine, "--disk": larger, "--zone": zone, "--bundle": bundle}
        _say_unheeded([name for name, value in asked.items() if value not in ("", None)], there)
        headquarters.note_place()
        later = change(headquarters, wishes, rules=bool(option))
        _start(headquarters, there)
        if later and there.state in RUNS:
            output.say(
                f"{', '.join(later)} hold from the Manager's next start: `blendnet cloud stop`, `blendnet cloud start`."
            )
    view = headquarters.wait_until_up()
    hold_caps(headquarters, wishes)
    _finish(headquarters, view, price, as_json)


@click.command()
@place_options
@data_option
@json_option
def start(provider: str | None, region: str | None, option: tuple[str, ...], folder: DataFolder, as_json: bool) -> None:
    """Start the farm's Manager again, with all that it had, and wait until it answers.

    \b
    Example:
      blendnet cloud start

    Jobs that were unfinished go on. Its address may be another one than before; this machine notes it.
    """
    headquarters = headquarters_of(choice_of(provider, region, option), folder)
    with output.waiting(f"Asking {headquarters.provider.name}"):
        there = headquarters.host.look()
    if there.state is ManagerState.ABSENT:
        what = f"its disk {there.disk} is there" if there.disk else "nor a disk of one"
        raise Conflict(f"the farm has no Manager's machine ({what}): `blendnet cloud up` makes one")
    headquarters.note_place()
    price = headquarters.price(there.machine, there.disk_gb, get_settings())
    _start(headquarters, there)
    _finish(headquarters, headquarters.wait_until_up(), price, as_json)


def _make(headquarters: Headquarters, wanted: ManagerWanted, wishes: Wishes, named: Path | None) -> ManagerMachine:
    """Account, bundle, machine: each step finds what an earlier try has made.

    What cannot be is found before the first of them, so that it leaves nothing, neither there nor in the data folder.
    """
    settings = wishes.for_a_new_machine(kept(headquarters))
    checked(settings)
    with output.waiting(f"Asking {headquarters.provider.name}"):
        headquarters.host.check(wanted)
    path, sha256 = bundle_for(headquarters.farm.bundle, named or get_settings().worker_bundle)
    headquarters.note_place()  # Before anything is made: from here on `cloud destroy` and `cloud remains` know where.
    owner_hash = hash_password(headquarters.farm.password())
    with output.waiting("Preparing the account: network rules, identity, bucket"):
        headquarters.account.ensure()
    site = headquarters.site
    with output.waiting(f"Bringing the bundle to {site.bucket}"):
        bundle = headquarters.host.bring(path, sha256)
    keep(headquarters, settings)
    data = manager_user_data(site, farm=headquarters.label, owner_hash=owner_hash, bundle=bundle, settings=settings)
    with output.waiting("Making the machine"):
        made = headquarters.host.ensure(replace(wanted, user_data=data))
    output.say(f"{made.id} ({made.machine}) is ordered in {made.zone or site.region}.")
    return made


def _start(headquarters: Headquarters, there: ManagerMachine) -> None:
    if there.state in (ManagerState.STOPPED, ManagerState.STOPPING):
        with output.waiting(f"Starting {there.id}"):
            headquarters.host.start()
    else:
        output.say(f"{there.id} is {there.state.value} already.")
        headquarters.host.start()  # It may lack its disk, after an `up` that was broken off.


def _say_unheeded(options: Sequence[str], there: ManagerMachine) -> None:
    """Who asks for a cap must not believe that there is one."""
    if options:
        output.say(
            f"{there.id} is there already, and stays as it was made: what you say with {', '.join(options)} changes "
            "nothing. `blendnet cloud destroy --keep-data` and `cloud up` make another machine with the same data."
        )


def _show(headquarters: Headquarters, price: ManagerPrice, idle: float) -> None:
    """What it costs, before it does."""
    found = price.price
    rows = [
        (f"machine {price.machine}, on demand", _hourly(found.usd_per_hour if found else None),
         f"price: {found.source}, {age_text(found.age_s(time.time()))}" if found else "nobody knows the price"),
        (f"disk {price.disk_gb} GB", _hourly(price.stopped_usd_per_hour), "also while it is stopped; estimate"),
        ("public address", _hourly(price.address_usd_per_hour), "estimate"),
    ]  # fmt: skip
    output.say(f"A Manager for {headquarters.label} at {headquarters.provider.name}, {headquarters.site.region}:")
    for what, usd, about in rows:
        output.say(f"  {what:<36} {usd:>12}  {about}")
    ends = f"it stops itself after {while_text(idle)} without jobs" if idle else "it runs until `blendnet cloud stop`"
    output.say(f"  {'together while it runs':<36} {_hourly(price.usd_per_hour):>12}  {ends}")
    output.say("Machines of agents, traffic and the bucket come on top, as jobs need them (`blendnet cloud estimate`).")


def _hourly(usd: float | None) -> str:
    return "?" if usd is None else f"{output.usd(usd)}/h"


def _finish(headquarters: Headquarters, view: FarmView, price: ManagerPrice, as_json: bool) -> None:
    machine, note = headquarters.host.look(), headquarters.farm.read()
    assert note is not None
    if as_json:
        output.print_json(
            {
                "farm": headquarters.label,
                "provider": note.provider,
                "region": note.region,
                "machine": machine.id,
                "type": machine.machine,
                "zone": machine.zone,
                "address": machine.address,
                "disk": machine.disk,
                "usd_per_hour": price.usd_per_hour,
                "usd_per_hour_stopped": price.stopped_usd_per_hour,
                "manager": {
                    "url": note.url,
                    "ca": str(headquarters.farm.ca),
                    "ca_sha256": note.fingerprint,
                    "user": "owner",
                    "password_file": str(headquarters.farm.password_file),
                    "version": view.version,
                },
            }
        )
        return
    output.say(f"The Manager answers at {note.url} (version {view.version}, authority {note.fingerprint[:16]}...).")
    output.say("All commands with this data folder speak to it now: `blendnet job submit scene.blend`.")
