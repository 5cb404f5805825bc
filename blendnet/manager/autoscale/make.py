"""From the settings to the loop of the fleet."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

from blendnet.manager.autoscale.gates import JoinGate, OpenGate, check_reachable, shut_out
from blendnet.manager.autoscale.leftovers import Leftovers, region_of, whereabouts
from blendnet.manager.autoscale.loop import FleetLoop
from blendnet.manager.autoscale.market import CloudMarket, OwnMachine
from blendnet.manager.autoscale.view import LOCAL, Times
from blendnet.manager.jobs import Farm
from blendnet.manager.joining import Joining
from blendnet.provision.base import Place, Provider
from blendnet.provision.policy import Policy
from blendnet.provision.registry import open_provider, read_options
from blendnet.settings import Settings

LOCAL_END_S = 20.0
LOCAL_SETTLED_S = 10.0
"""Processes are listed as soon as they run; somebody may be starting one by hand."""


def make_loop(farm: Farm, local: Provider, joining: Joining | None, *, farm_label: str, logs: Path) -> FleetLoop | None:
    """The loop that the settings ask for, None when agents are started by hand. `local`: who starts processes here.

    Raises:
        UserError: the settings contradict each other, name an unknown provider, or nobody could reach the farm.
        FarmError: the provider's SDK is not installed.
    """
    settings = farm.settings
    if not settings.fleet_provider:
        return None
    policy = policy_of(settings)
    if settings.fleet_provider == LOCAL:
        end_s, settled_s = LOCAL_END_S, LOCAL_SETTLED_S
        times = Times(boot_s=settings.fleet_boot_s, end_delay_s=end_s, least_s=0.0, jobs_pay=False, settled_s=settled_s)
        market = OwnMachine(settings)
        return FleetLoop(farm, local, market, OpenGate(), policy, times, poll_s=settings.fleet_poll_s, logs=logs)
    place = Place(farm_label, settings.cloud_region, read_options(settings.cloud_options))
    provider = open_provider(settings.fleet_provider, place)
    where = whereabouts(provider, place)
    gate = JoinGate(check_reachable(joining, provider.name), settings, provider.features)
    times = Times(boot_s=settings.fleet_boot_s, end_delay_s=settings.fleet_end_delay_s)
    farm.instances.of(provider.name, where).use(region_of(provider, place), place.options, time.time())
    return FleetLoop(
        farm,
        provider,
        CloudMarket(provider, settings),
        gate,
        policy,
        times,
        poll_s=settings.fleet_poll_s,
        logs=logs,
        place=where,
    )


def make_leftovers(farm: Farm, joining: Joining | None, loop: FleetLoop | None, *, farm_label: str) -> Leftovers:
    """Who looks after machines in places that the settings do not name any more."""
    gone = (lambda name, now: shut_out(joining, name, now)) if joining is not None else (lambda name, now: None)
    return Leftovers(farm, farm_label, None if loop is None else loop.where, gone, poll_s=farm.settings.fleet_poll_s)


def policy_of(settings: Settings) -> Policy:
    """The wishes: those fields of Policy that are settings, `fleet_<field>`. Raises UserError."""
    wishes = {field.name: f"fleet_{field.name}" for field in dataclasses.fields(Policy)}
    return Policy(**{name: getattr(settings, key) for name, key in wishes.items() if hasattr(settings, key)})
