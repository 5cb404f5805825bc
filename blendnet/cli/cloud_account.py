"""`blendnet cloud prepare` and `remove`: what a farm needs in a cloud's account, made, and removed without a rest."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import click

from blendnet.cli import output
from blendnet.cli.cloud_place import choice_of, place_options
from blendnet.cli.options import data_option, json_option
from blendnet.errors import Conflict, FarmError, UserError
from blendnet.manager.folder import DataFolder
from blendnet.provision.base import Account, InstanceState, Provider
from blendnet.settings import get_settings

END_LIMIT_S = 600.0
LOOK_S = 3.0


@click.command()
@place_options
@data_option
@json_option
def prepare(
    provider: str | None, region: str | None, option: tuple[str, ...], folder: DataFolder, as_json: bool
) -> None:
    """Make what a farm needs in a cloud before it can ask for machines: rules, roles, a bucket. No machine.

    \b
    Examples:
      blendnet cloud prepare --provider aws --region eu-central-1
      blendnet cloud prepare --provider gcp --option project=my-farm --json

    Everything bears the label of the farm in the data folder. It may be repeated: what is there is set right, what is
    missing is made. `blendnet cloud remove` takes all of it away again.
    """
    folder.create()
    opened = choice_of(provider, region, option).open(get_settings(), folder.label())
    account: Account | None = getattr(opened, "account", None)
    with output.waiting(f"Preparing {opened.name}"):
        made = {} if account is None else _fields(account.ensure())
    if as_json:
        output.print_json({"provider": opened.name, "farm": folder.label(), "made": made})
        return
    if made:
        output.print_pairs([("farm", folder.label()), *((name.replace("_", " "), text) for name, text in made.items())])
    else:
        click.echo(f"Nothing has to be prepared for {opened.name}.")
    output.say(f"Next: BLENDNET_FLEET_PROVIDER={opened.name} blendnet up --agents 0 --listen ADDRESS")


@click.command()
@place_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_option
@json_option
def remove(
    provider: str | None, region: str | None, option: tuple[str, ...], yes: bool, folder: DataFolder, as_json: bool
) -> None:
    """End every machine of the farm and delete all that it has in a cloud, its bucket with all files in it, too.

    \b
    Examples:
      blendnet cloud remove --provider aws
      blendnet cloud remove --provider aws --yes --json | jq .remains

    Only what bears the label of the farm in the data folder is touched. It is listed before, and after as a proof: the
    command fails while anything remains. The farm has to be down. Jobs and files in the data folder stay.
    """
    if folder.running():
        raise Conflict(f"the farm on {folder.root} runs, and would ask for machines again: `blendnet down` ends it")
    farm = folder.known_label()
    if not farm:
        raise UserError(f"the farm in {folder.root} has no label: it never had anything in a cloud. Is --data right?")
    opened = choice_of(provider, region, option).open(get_settings(), farm)
    account: Account = getattr(opened, "account", None) or MachinesAlone(opened)
    with output.waiting(f"Looking what {farm} has at {opened.name}"):
        there = _lines(account)
    if there and not yes:
        _confirm(there, farm, opened.name)
    left: list[str] = []
    if there:
        with output.waiting(f"Removing {farm} from {opened.name}"):
            account.remove()
            left = _lines(account)
    if as_json:
        output.print_json({"provider": opened.name, "farm": farm, "removed": _without(there, left), "remains": left})
    if left:
        raise FarmError(f"there still is {', '.join(left)}: say `blendnet cloud remove` again")
    if not as_json:
        click.echo(f"Removed {len(there)} things. " if there else "", nl=False)
        click.echo(f"{opened.name} lists nothing of farm {farm} any more.")


class MachinesAlone:
    """The account of a provider that makes nothing but machines (base.Account)."""

    def __init__(
        self,
        provider: Provider,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._provider = provider
        self._clock = clock
        self._sleep = sleep

    def ensure(self) -> object:
        """Nothing is needed."""
        return None

    def remove(self) -> None:
        """End the machines, and wait for their end as long as some do not. Raises FarmError."""
        until = self._clock() + END_LIMIT_S
        while names := self._names():
            if self._clock() > until:
                return  # `remains` says which.
            self._provider.destroy(names)
            self._sleep(LOOK_S)

    def remains(self) -> Sequence[str]:
        """Machines that are not gone. Raises FarmError."""
        return [f"machine {name}" for name in self._names()]

    def _names(self) -> list[str]:
        return [found.name for found in self._provider.list() if found.state is not InstanceState.GONE]


def _confirm(there: Sequence[str], farm: str, provider: str) -> None:
    """Ask a person. Raises UserError where there is none, click.Abort when he says no."""
    if not sys.stdin.isatty():
        raise UserError(f"{len(there)} things would be removed from {provider}: say --yes to do it")
    for line in there:
        click.echo(f"  {line}", err=True)
    click.confirm(f"Remove all of it, which is all that farm {farm} has at {provider}?", abort=True, err=True)


def _lines(account: Account) -> list[str]:
    return [str(thing) for thing in account.remains()]


def _without(there: Sequence[str], left: Sequence[str]) -> list[str]:
    return [line for line in there if line not in left]


def _fields(made: object) -> dict[str, Any]:
    """A dataclass as words and values."""
    assert dataclasses.is_dataclass(made)
    return {field.name: getattr(made, field.name) for field in dataclasses.fields(made)}
