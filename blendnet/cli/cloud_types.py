"""`blendnet cloud types`: the machines of a cloud and what they cost."""

from __future__ import annotations

import time
from typing import Any

import click

from blendnet.cli import output
from blendnet.cli.cloud_place import choice_of, place_options
from blendnet.cli.options import json_option
from blendnet.errors import UserError
from blendnet.provision.base import MachineType, Price, Provider
from blendnet.provision.menu import Entry, menu, narrowed, offers_of
from blendnet.settings import get_settings

UNKNOWN = "unknown"
NO_SPOT = "none"
"""In place of the price of spot machines that the provider does not have."""


@click.command()
@place_options
@click.option("--min-vcpus", type=click.IntRange(1), default=1, metavar="N", help="Only machines with so many vCPUs.")
@click.option("--gpu", is_flag=True, help="Only machines with a GPU.")
@json_option
def types(
    provider: str | None, region: str | None, option: tuple[str, ...], min_vcpus: int, gpu: bool, as_json: bool
) -> None:
    """List machine types with their prices, the cheapest by vCPU first.

    \b
    Examples:
      blendnet cloud types --provider aws --region eu-central-1
      blendnet cloud types --provider gcp --option project=my-farm --min-vcpus 16
      blendnet cloud types --provider aws --gpu --json | jq '.types[0]'

    SPOT machines are cheap and may be taken away at any moment. Every price is in US dollars for an hour, with its
    source and age: 'live' and 'cache' are the cloud's own, 'list' is an upper bound, 'user' is yours. A price that
    nobody knows is 'unknown' (null in JSON), never 0.
    """
    opened = choice_of(provider, region, option).open(get_settings())
    found = entries_of(opened, narrowed(opened.machine_types(), vcpus=min_vcpus, gpu=gpu))
    if not found:
        what = f"with at least {min_vcpus} vCPUs{' and a GPU' if gpu else ''}" if min_vcpus > 1 or gpu else "at all"
        raise UserError(f"{opened.name} offers no machine types {what}{_why_none(opened)}")
    now = time.time()
    spot = opened.features.spot
    if as_json:
        records = [_record(entry, now) for entry in found]
        output.print_json({"provider": opened.name, "spot_machines": spot, "types": records})
        return
    columns = ["TYPE", ">VCPU", ">RAM", "GPU", ">SPOT $/H", ">ON DEMAND $/H", ">$/VCPU H", "SOURCE", ">AGE"]
    output.print_table(columns, [_row(entry, now, spot=spot) for entry in found])


def entries_of(provider: Provider, types: list[MachineType]) -> list[Entry]:
    """The types with their prices of the moment, the cheapest first. Raises FarmError."""
    with output.waiting(f"Asking {provider.name} for prices"):
        return menu(types, provider.prices(offers_of(types, spot=provider.features.spot)))


def gpu_text(type_: MachineType) -> str:
    """'', 'T4' or '4 x T4'."""
    name = type_.gpu or "GPU"
    return "" if not type_.gpus else name if type_.gpus == 1 else f"{type_.gpus} x {name}"


def price_text(usd: float | None) -> str:
    """Of an hourly price. A small one does not become 0, which would be free."""
    if usd is None:
        return UNKNOWN
    return f"{usd:.4f}" if usd >= 0.001 or usd == 0 else f"{usd:.1e}"


def age_text(seconds: float) -> str:
    """'now', '3 h' or '2 days' old."""
    if seconds < 60:
        return "now"
    for size_s, word in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= size_s:
            return f"{seconds / size_s:.0f} {word}"
    return "now"


def price_record(price: Price | None, now: float) -> dict[str, Any] | None:
    """A price for programs."""
    if price is None:
        return None
    facts = {"usd_per_hour": price.usd_per_hour, "source": price.source, "age_s": round(price.age_s(now), 1)}
    return {**facts, "zone": price.zone}


def _why_none(provider: Provider) -> str:
    reason = provider.features.cannot.get("machine types", "")
    return f": {reason}" if reason else ""


def _record(entry: Entry, now: float) -> dict[str, Any]:
    type_ = entry.type
    return {
        "name": type_.name,
        "vcpus": type_.vcpus,
        "memory_bytes": type_.memory_bytes,
        "gpus": type_.gpus,
        "gpu": type_.gpu,
        "arch": type_.arch,
        "spot": price_record(entry.spot, now),
        "on_demand": price_record(entry.on_demand, now),
        "usd_per_vcpu_hour": entry.usd_per_vcpu_hour,
    }


def _row(entry: Entry, now: float, *, spot: bool) -> tuple[object, ...]:
    type_ = entry.type
    known = [price for price in (entry.spot, entry.on_demand) if price is not None]
    prices = [price_text(price.usd_per_hour if price else None) for price in (entry.spot, entry.on_demand)]
    if not spot:
        prices[0] = NO_SPOT
    sources = ", ".join(dict.fromkeys(price.source for price in known))
    age = age_text(max((price.age_s(now) for price in known), default=0.0)) if known else ""
    memory = output.size(type_.memory_bytes)
    return type_.name, type_.vcpus, memory, gpu_text(type_), *prices, price_text(entry.usd_per_vcpu_hour), sources, age
