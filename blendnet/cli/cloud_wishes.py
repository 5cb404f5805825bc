"""How a Manager in the cloud is to work: what its owner says when it is made, and changes later.

It lies in the farm's bucket, where the Manager takes it at each start, and in the user data of a new machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from blendnet.cli import output
from blendnet.cli.cloud_headquarters import Headquarters
from blendnet.errors import UserError
from blendnet.messages.costs import FarmCaps
from blendnet.provision.manager_price import ManagerPrice
from blendnet.settings import Settings
from blendnet.settings.sent import PREFIX, from_json, is_sent, sent, to_json

IDLE_S = 1800.0
CAPS = ("BLENDNET_CAP_DAY_USD", "BLENDNET_CAP_FARM_USD")
IDLE = "BLENDNET_MANAGER_IDLE_S"
OPTIONS = "BLENDNET_CLOUD_OPTIONS"
DERIVED = ("disk_gb", "disk_usd_per_gb_month", "manager_usd_per_hour")
"""Follow from machine and disk; nobody says them."""


@dataclass(frozen=True)
class Wishes:
    """BLENDNET_... for the Manager."""

    said: Mapping[str, str]
    """With options, else by settings of this machine."""
    derived: Mapping[str, str]
    """What machine and disk cost: it is counted among the farm's costs, and against its caps."""

    @classmethod
    def of(
        cls,
        settings: Settings,
        price: ManagerPrice,
        idle_min: float | None = None,
        agents_max: int | None = None,
        agents_machines: str | None = None,
        cap_day: float | None = None,
    ) -> Wishes:
        """What is set on this machine and concerns the Manager, and over that the options. PURE.

        Raises UserError: one of them is endless, or no number.
        """
        names = settings.model_fields_set - {*DERIVED, "cloud_options"}
        values = {name: getattr(settings, name) for name in names if is_sent(name)}
        options = {
            "manager_idle_s": None if idle_min is None else idle_min * 60,
            "fleet_max": agents_max,
            "fleet_machines": agents_machines,
            "cap_day_usd": cap_day,
        }
        for name, value in (values | options).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise UserError(f"setting {PREFIX}{name.upper()} cannot be {value}")
        derived: dict[str, object] = {"disk_gb": price.disk_gb, "disk_usd_per_gb_month": price.disk_usd_per_gb_month}
        if price.price is not None:
            derived["manager_usd_per_hour"] = round(price.price.usd_per_hour + price.address_usd_per_hour, 6)
        return cls(sent(values) | sent(options), sent(derived))

    def idle_s(self) -> float:
        """After how long without jobs a new Manager stops itself."""
        return float(self.said.get(IDLE, IDLE_S))

    def for_a_new_machine(self, before: Mapping[str, str]) -> dict[str, str]:
        """All of them; `before`: those of the farm's last machine."""
        return {IDLE: str(IDLE_S), **before, **self.derived, **self.said}


def kept(headquarters: Headquarters) -> dict[str, str]:
    """What was said last. Raises FarmError; UserError: it is damaged."""
    data = headquarters.host.settings()
    return {} if data is None else from_json(data, left_aside=_say_left_aside)


def _say_left_aside(name: str) -> None:
    output.say(f"{name} was said to the Manager, and this BlendNet does not know it (a newer one does?): left aside.")


def keep(headquarters: Headquarters, variables: Mapping[str, str]) -> None:
    """Have the Manager take these at its next start. Raises FarmError; UserError: a value cannot be."""
    headquarters.host.keep_settings(checked(variables))


def checked(variables: Mapping[str, str]) -> bytes:
    """What lies in the bucket when the Manager is to take these. PURE. Raises UserError: a value cannot be."""
    data = to_json(variables)
    from_json(data)
    return data


def change(headquarters: Headquarters, wishes: Wishes, *, rules: bool) -> Sequence[str]:
    """Say them to a farm that is there; names of those that its Manager has not heard yet, caps aside.

    `rules`: options of the place were given, which may say who reaches it: the account is made so at once.
    """
    before = kept(headquarters)
    now = dict(wishes.said)
    if rules:
        now[OPTIONS] = "; ".join(f"{name}={value}" for name, value in headquarters.site.options.items())
    new = {name: value for name, value in now.items() if before.get(name) != value}
    variables = {**before, **wishes.derived, **new}
    checked(variables)
    if rules:
        with output.waiting("Preparing the account: network rules, identity, bucket"):
            headquarters.account.ensure()
    if new:
        keep(headquarters, variables)
    return [name for name in sorted(new) if name not in CAPS]


def hold_caps(headquarters: Headquarters, wishes: Wishes) -> None:
    """Caps hold at once: they go over those that were said to the running Manager before. Raises FarmError."""
    day, farm = (wishes.said.get(name) for name in CAPS)
    if day is None and farm is None:
        return
    caps = FarmCaps(
        day_usd=None if day is None else float(day),
        farm_usd=None if farm is None else float(farm),
    )
    with headquarters.client() as client:
        client.set_farm_caps(caps)
