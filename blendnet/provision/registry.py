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
        UserError: there is no such provider; the text names those there are.
        FarmError: it cannot be loaded, or its SDK is not installed.
    """
    return _maker(name)(place)


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
    raise UserError(f"there is no provider {name!r}: one of {', '.join(provider_names()) or '(none)'}")
