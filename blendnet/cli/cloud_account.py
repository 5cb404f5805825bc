"""`blendnet cloud prepare`, `remains` and `remove`: what a farm has in a cloud besides machines."""

from __future__ import annotations

import click

from blendnet.cli import output
from blendnet.cli.cloud_place import Choice, choice_of, place_options
from blendnet.cli.options import data_option, json_option
from blendnet.errors import FarmError, UserError
from blendnet.manager.folder import DataFolder
from blendnet.provision.base import Account, account_of
from blendnet.settings import get_settings


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
    account, label = _account(choice_of(provider, region, option), folder)
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
    _print(*_account(choice_of(provider, region, option), folder), as_json)


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
    account, label = _account(choice_of(provider, region, option), folder)
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


def _account(choice: Choice, folder: DataFolder) -> tuple[Account, str]:
    """The farm's account, and its label. Raises UserError for a provider that makes nothing besides machines."""
    settings = get_settings()
    folder.create()
    label = folder.label()
    provider = choice.open(settings, farm=label)
    account = account_of(provider)
    if account is None:
        raise UserError(f"{provider.name} needs nothing to be prepared: machines are all that a farm has there")
    return account, label


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
