"""From the options of `blendnet cloud` and the settings to a provider in a place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import click

from blendnet.errors import UserError
from blendnet.manager.folder import DataFolder
from blendnet.provision.base import Place, Provider
from blendnet.provision.registry import open_provider, provider_names, read_option, read_options
from blendnet.settings import Settings

Function = TypeVar("Function", bound=Callable[..., object])

FARM = "blendnet"
"""Label of the farm when there is none: commands that only look make nothing that would bear it."""


@dataclass(frozen=True)
class Choice:
    """What --provider, --region and --option say."""

    provider: str | None = None
    region: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    def name(self, settings: Settings) -> str:
        """The provider: the option, else the setting. Raises UserError that names those there are."""
        name = self.provider or settings.cloud_provider
        if not name:
            raise UserError(
                f"which cloud? Name it with --provider or BLENDNET_CLOUD_PROVIDER: one of {known_providers()}"
            )
        return name

    def place(self, settings: Settings) -> Place:
        """Where it works: the options, else the settings; for the user's own farm. Raises UserError."""
        region = settings.cloud_region if self.region is None else self.region
        farm = DataFolder(settings.data).known_label() or FARM
        return Place(farm=farm, region=region, options={**read_options(settings.cloud_options), **self.options})

    def open(self, settings: Settings, *, farm: str = "") -> Provider:
        """The provider; `farm`: the label of the farm that it is for. Raises as open_provider."""
        place = self.place(settings)
        return open_provider(self.name(settings), replace(place, farm=farm) if farm else place)


def known_providers() -> str:
    """The names for a sentence."""
    return ", ".join(provider_names()) or "(none is installed)"


def place_options(function: Function) -> Function:
    """--provider, --region and --option; `choice_of` makes one Choice of their values."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def choice_of(provider: str | None, region: str | None, option: tuple[str, ...]) -> Choice:
    """The values of `place_options` as one. Raises click.BadParameter."""
    try:
        return Choice(provider, region, dict(map(read_option, option)))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--option") from error


_OPTIONS = (
    click.option("--provider", metavar="NAME", help="Who gives machines. Default: $BLENDNET_CLOUD_PROVIDER."),
    click.option(
        "--region",
        metavar="NAME",
        help="Where. Default: $BLENDNET_CLOUD_REGION, else what the cloud's own settings say.",
    ),
    click.option(
        "--option",
        multiple=True,
        metavar="NAME=VALUE",
        help="What only this provider knows, as project=my-farm; may be repeated. Default: $BLENDNET_CLOUD_OPTIONS.",
    ),
)
