"""`blendnet cloud doctor`: can this machine use a cloud, and if not, what mends it?"""

from __future__ import annotations

import difflib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import Any

import click
from pydantic import ValidationError
from rich.text import Text

from blendnet.cli import output
from blendnet.cli.app import EXIT_FAILED
from blendnet.cli.cloud_place import Choice, choice_of, known_providers, place_options
from blendnet.cli.options import json_option
from blendnet.errors import BlendNetError, FarmError, UserError
from blendnet.provision.base import Check, CheckState, Provider
from blendnet.provision.registry import BUILT_IN, ENTRY_POINTS, open_provider, provider_names
from blendnet.settings import Settings, get_settings, unknown_variables

OTHERS = ("libcloud", "apache-libcloud", "libcloud")
SDKS = {"aws": ("boto3", "boto3", "aws"), "gcp": ("google.cloud.compute_v1", "google-cloud-compute", "gcp")}
"""Provider of BlendNet's own -> module, distribution and extra of its SDK; all others need apache-libcloud."""
MESSAGE_MAX = 500
STYLES = {CheckState.OK: "green", CheckState.WARNING: "yellow", CheckState.PROBLEM: "bold red"}


@click.command()
@place_options
@json_option
def doctor(provider: str | None, region: str | None, option: tuple[str, ...], as_json: bool) -> None:
    """Check everything that stands between this machine and a cloud. Creates nothing.

    \b
    Examples:
      blendnet cloud doctor --provider aws --region eu-central-1
      blendnet cloud doctor --provider gcp --option project=my-farm
      blendnet cloud doctor --json | jq '.checks[] | select(.state != "ok")'

    Looks at settings, the SDK, credentials, permissions, quotas, machine types, prices, the clock: as far as the
    provider can tell. Each line is ok, a warning (it works, or nobody can tell) or a problem, with the command or page
    that mends it. Exits with 1 when there is a problem.
    """
    choice = choice_of(provider, region, option)
    settings, checks = _settings()
    name = choice.name(settings) if settings else provider or ""
    for check in checks:
        _print(check, as_json)
    for check in _examine(name, choice, settings) if settings else ():
        checks.append(check)
        _print(check, as_json)
    if as_json:
        output.print_json({"provider": name, "checks": [_record(check) for check in checks]})
    if any(check.state is CheckState.PROBLEM for check in checks):
        raise click.exceptions.Exit(EXIT_FAILED)


def _settings() -> tuple[Settings | None, list[Check]]:
    """The settings, and what is to be said of them; None when they cannot be read."""
    typos = [_typo(name) for name in unknown_variables()]
    try:
        return get_settings(), [typo for typo in typos if typo]
    except ValidationError as error:
        return None, [_unreadable(dict(problem)) for problem in error.errors()]


def _unreadable(problem: dict[str, Any]) -> Check:
    name = "BLENDNET_" + "_".join(str(part) for part in problem["loc"]).upper()
    message = f"{name} is {problem['input']!r}: {problem['msg']}"
    return Check("settings", CheckState.PROBLEM, message, f"unset {name}, or give it another value")


def _typo(variable: str) -> Check | None:
    known = {f"BLENDNET_{field.upper()}" for field in Settings.model_fields}
    near = difflib.get_close_matches(variable, known, n=1, cutoff=0.85)
    if not near:
        return None
    return Check("settings", CheckState.WARNING, f"{variable} is no setting", f"did you mean {near[0]}?")


def _examine(name: str, choice: Choice, settings: Settings) -> Iterator[Check]:
    """One check after the other; those behind a problem that keeps them from making sense are left out."""
    place = _place_check(choice, settings)
    yield place
    if place.state is CheckState.PROBLEM:
        return
    if name not in provider_names():
        yield Check("provider", CheckState.PROBLEM, *_no_provider(name))
        return
    yield Check("provider", CheckState.OK, f"{name}, from {_origin(name)}")
    sdk = _sdk_check(name)
    if sdk:
        yield sdk
    if sdk and sdk.state is CheckState.PROBLEM:
        return
    try:
        opened = open_provider(name, choice.place(settings))
        found = _asked(opened)
    except BlendNetError as error:
        yield Check("open", CheckState.PROBLEM, str(error), _help_for(error))
        return
    if not found:
        yield Check(
            "checks", CheckState.WARNING, f"{name} does not say whether it is ready", "try it: it has no checks"
        )
    yield from found


def _place_check(choice: Choice, settings: Settings) -> Check:
    try:
        place = choice.place(settings)
    except UserError as error:
        return Check("place", CheckState.PROBLEM, str(error), "export BLENDNET_CLOUD_OPTIONS='project=my-farm'")
    options = ", ".join(place.options)  # Their names alone: a value may be a secret.
    where = place.region or "the one of the cloud's own settings"
    return Check("place", CheckState.OK, f"region: {where}" + (f"; options: {options}" if options else ""))


def _no_provider(name: str) -> tuple[str, str]:
    """(message, help)"""
    if name == "local":
        return "agents of a local farm are processes on this machine: there is no cloud to check", "blendnet doctor"
    near = difflib.get_close_matches(name, provider_names(), n=1)
    return (
        f"there is no provider {name!r}; there is: {known_providers()}",
        f"did you mean --provider {near[0]}?" if near else "docs/providers.md says how other packages bring providers",
    )


def _origin(name: str) -> str:
    """Where a provider is from, for people."""
    if name in BUILT_IN:
        return "BlendNet"
    (entry, *_) = metadata.entry_points(group=ENTRY_POINTS, name=name)
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value


def _sdk_check(name: str) -> Check | None:
    """Is the cloud's own library there? None for providers that BlendNet does not know: they say so themselves."""
    if name not in BUILT_IN:
        return None
    module, distribution, extra = SDKS.get(name, OTHERS)
    if _is_there(module):
        return Check("sdk", CheckState.OK, f"{distribution} {metadata.version(distribution)}")
    command = f"{sys.executable} -m pip install 'blendnet[{extra}]'"
    return Check("sdk", CheckState.PROBLEM, f"{distribution} is not installed", command)


def _is_there(module: str) -> bool:
    """True when a module could be imported. Imports only its parents: an SDK takes a second to load."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _asked(provider: Provider) -> Sequence[Check]:
    """The provider's own checks, while the person who waits sees what is waited for.

    Raises FarmError when it breaks its promise not to raise.
    """
    try:
        with output.waiting(f"Asking {provider.name}"):
            return list(provider.checks())
    except BlendNetError:
        raise
    except Exception as error:
        raise FarmError(f"the checks of provider {provider.name} failed: {type(error).__name__}: {error}") from error


def _help_for(error: BlendNetError) -> str:
    return "give other --option or --region" if isinstance(error, UserError) else "mend what it says, and check again"


def _record(check: Check) -> dict[str, str]:
    return {"name": check.name, "state": check.state.value, "message": check.message, "help": check.help}


def _print(check: Check, as_json: bool) -> None:
    """One line as soon as it is known, and what mends it below."""
    if as_json:
        return
    message = " ".join(check.message.split())[:MESSAGE_MAX]  # Clouds have been seen to answer with pages of HTML.
    line = Text.assemble((f"{check.state.value:<9}", STYLES[check.state]), f"{check.name}: {message}")
    output.console().print(line)
    if check.help and check.state is not CheckState.OK:
        output.console().print(Text(f"{'':<9}-> {check.help}"))
