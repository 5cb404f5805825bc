"""Which providers there are: BlendNet's own, and those that other packages bring as entry points."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from importlib import metadata

from blendnet.errors import FarmError, UserError
from blendnet.provision.base import Place, Provider

ENTRY_POINTS = "blendnet.providers"
"""Group of entry points: name of the provider = a function that takes a Place and returns a Provider."""

BUILT_IN: Mapping[str, str] = {
    "aws": "blendnet.provision.aws.provider:make",
    "gcp": "blendnet.provision.gcp.provider:open_gcp",
    "azure": "blendnet.provision.libcloud.provider:open_azure",
    "digitalocean": "blendnet.provision.libcloud.provider:open_digitalocean",
    "linode": "blendnet.provision.libcloud.provider:open_linode",
    "openstack": "blendnet.provision.libcloud.provider:open_openstack",
    "scaleway": "blendnet.provision.libcloud.provider:open_scaleway",
    "vultr": "blendnet.provision.libcloud.provider:open_vultr",
}
"""Name -> module:function, imported when it is asked for: a cloud's SDK takes a second to load."""


def provider_names() -> list[str]:
    """All providers that `open_provider` can open, but for SDKs that may be missing."""
    return sorted({*BUILT_IN, *(entry.name for entry in metadata.entry_points(group=ENTRY_POINTS))})


def open_provider(name: str, place: Place) -> Provider:
    """The provider `name`, for one farm in one place. Asks nothing of the cloud yet.

    Raises:
        UserError: there is no such provider; the text names those there are. Or it is 'local', which no place has: the
            farm's service opens it.
        FarmError: it cannot be loaded, or its SDK is not installed.
    """
    return _maker(name)(place)


def read_options(text: str) -> dict[str, str]:
    """What the setting `cloud_options` says: 'project=my-farm; zones=a,b'. Raises UserError."""
    try:
        return dict(read_option(part) for part in text.split(";") if part.strip())
    except ValueError as error:
        raise UserError(f"BLENDNET_CLOUD_OPTIONS: {error}; write ';' between several") from error


def read_option(text: str) -> tuple[str, str]:
    """One of them. Raises ValueError, which does not repeat the value: it may be a secret."""
    name, equals, value = text.partition("=")
    if not name.strip() or not equals:
        raise ValueError("an option is written as NAME=VALUE, as in project=my-farm")
    return name.strip(), value.strip()


def _maker(name: str) -> Callable[[Place], Provider]:
    if name in BUILT_IN:
        module, _, function = BUILT_IN[name].partition(":")
        found: Callable[[Place], Provider] = getattr(importlib.import_module(module), function)
        return found
    for entry in metadata.entry_points(group=ENTRY_POINTS, name=name):
        try:
            loaded: Callable[[Place], Provider] = entry.load()
        except Exception as error:
            raise FarmError(f"provider {name} cannot be loaded from {entry.value}: {error}") from error
        return loaded
    if name == "local":
        raise UserError(
            "provider local is this machine: it has no account, types or prices to ask for; `blendnet up --agents N` "
            "starts agents here, `blendnet agent run --join URL TOKEN` those of your other machines"
        )
    raise UserError(f"there is no provider {name!r}: one of {', '.join(provider_names()) or '(none)'}")
