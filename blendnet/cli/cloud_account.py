"""`blendnet cloud prepare`, `remains` and `remove`: what a farm has in a cloud besides machines."""

from __future__ import annotations

import time
from collections.abc import Callable

import click

from blendnet.cli import output
from blendnet.cli.cloud_farm import CloudFarm
from blendnet.cli.cloud_place import Choice, choice_of, place_options
from blendnet.cli.options import data_option, json_option
from blendnet.errors import FarmError, UserError
from blendnet.manager.folder import DataFolder
from blendnet.provision.base import Account, InstanceState, Provider, account_of
from blendnet.provision.manager_machine import manager_host_of
from blendnet.provision.pauses import pauses
from blendnet.settings import get_settings

END_LIMIT_S = 600.0
"""Machines that are told to end are waited for so long."""
LOOK_S = 3.0
"""Most between two looks."""


@click.command()
@place_options
@data_option
@json_option
def prepare(
    provider: str | None, region: str | None, option: tuple[str, ...], folder: DataFolder, as_json: bool
) -> None:
    """Make what machines of this farm need: network rules, identity, bucket. Creates no machine.

    \b
    Examples:
      blendnet cloud prepare --provider aws --region eu-central-1
      blendnet cloud prepare --json | jq .there

    Everything bears the label of the farm (of its data folder). May be repeated, also after it was broken off.
    """
    account, label, _ = _account(choice_of(provider, region, option), folder)
    with output.waiting("Preparing the account"):
        account.ensure()
    _print(account, label, as_json)


@click.command()
@place_options
@data_option
@json_option
def remains(
    provider: str | None, region: str | None, option: tuple[str, ...], folder: DataFolder, as_json: bool
) -> None:
    """List everything of this farm that is in the cloud, machines included. Changes nothing.

    \b
    Example:
      blendnet cloud remains --provider aws
    """
    account, label, _ = _account(choice_of(provider, region, option), folder, MachinesAlone)
    _print(account, label, as_json)


@click.command()
@place_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_option
@json_option
def remove(
    provider: str | None, region: str | None, option: tuple[str, ...], yes: bool, folder: DataFolder, as_json: bool
) -> None:
    """Remove everything of this farm from the cloud, machines and bucket included, and list what is left.

    \b
    Examples:
      blendnet cloud remove --provider aws
      blendnet cloud remove --yes --json

    Files in the bucket are lost: download results before. The farm has to be down.
    """
    if folder.running():
        raise UserError(f"a farm runs on {folder.root}: end it with `blendnet down` first")
    account, label, elsewhere = _account(choice_of(provider, region, option), folder, MachinesAlone)
    there = _names(account)
    if there and not yes:
        for name in there:
            output.say(name)
        click.confirm(f"Remove all of it ({output.plural(len(there), 'thing')} of {label})?", abort=True, err=True)
    with output.waiting("Removing; machines take minutes to end"):
        account.remove()
    left = _print(account, label, as_json)
    if left:
        raise FarmError(f"{output.plural(len(left), 'thing')} of {label} could not be removed: try again in a minute")
    if not elsewhere:
        CloudFarm(folder).forget()


class MachinesAlone:
    """The account of a provider that makes nothing but machines (base.Account): they may be left over, too."""

    def __init__(
        self,
        provider: Provider,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._provider = provider
        self._clock = clock
        self._sleep = sleep

    def ensure(self) -> None:
        """Nothing is needed."""

    def remove(self) -> None:
        """End the machines, and wait for their end; those that take too long are in `remains`. Raises FarmError."""
        until, later = self._clock() + END_LIMIT_S, pauses(LOOK_S)
        while (names := self._names()) and self._clock() < until:
            self._provider.destroy(names)
            self._sleep(next(later))

    def remains(self) -> list[str]:
        """Machines that are not gone. Raises FarmError."""
        return [f"machine {name}" for name in self._names()]

    def _names(self) -> list[str]:
        return [found.name for found in self._provider.list() if found.state is not InstanceState.GONE]


def _account(
    choice: Choice, folder: DataFolder, otherwise: Callable[[Provider], Account] | None = None
) -> tuple[Account, str, bool]:
    """The farm's account, its label, and whether the options name another place than that of the farm's Manager.

    `otherwise` makes that of a provider which makes nothing besides machines. Raises UserError when it is None.
    """
    settings = get_settings()
    folder.create()
    label = folder.label()
    note = CloudFarm(folder).read()
    noted = note.choice(choice) if note else None
    provider = (noted or choice).open(settings, farm=label)
    if note and noted and (host := manager_host_of(provider)):
        note.check_login(host.site().bucket)
    account = account_of(provider)
    if account is None and otherwise is not None:
        account = otherwise(provider)
    if account is None:
        raise UserError(f"{provider.name} needs nothing to be prepared: machines are all that a farm has there")
    return account, label, note is not None and noted is None


def _print(account: Account, label: str, as_json: bool) -> list[str]:
    """What is there, on stdout."""
    there = _names(account)
    if as_json:
        output.print_json({"farm": label, "there": there})
        return there
    for name in there:
        click.echo(name)
    if not there:
        click.echo(f"Nothing of {label} is there.")
    return there


def _names(account: Account) -> list[str]:
    return sorted(str(thing) for thing in account.remains())
