"""Machines of Amazon EC2 for one farm in one region (base.Provider)."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from blendnet.errors import FarmError
from blendnet.provision.aws import described, labels, machines, quotas, trouble, user_data
from blendnet.provision.aws.account import Account
from blendnet.provision.aws.clients import Clients, connect
from blendnet.provision.aws.doctor import Doctor
from blendnet.provision.aws.fleet import Launch, Launcher
from blendnet.provision.aws.labels import Labels
from blendnet.provision.aws.manager_machine import ManagerHost
from blendnet.provision.aws.network import Network
from blendnet.provision.aws.options import Options
from blendnet.provision.aws.prices import Prices, parse_overrides
from blendnet.provision.aws.template import Template
from blendnet.provision.aws.trouble import explained
from blendnet.provision.base import (
    Check,
    Created,
    Features,
    Instance,
    InstanceState,
    MachineType,
    Offer,
    Place,
    Price,
    Quota,
    Refusal,
    Wanted,
)
from blendnet.settings import get_settings

LAUNCHES_AT_ONCE = 8
"""Requests to EC2 at the same time: it answers CreateFleet in seconds, and throttles who asks too often."""
PRICE_CACHE = "prices-aws.json"


class AwsProvider:
    """The provider of one farm in one region."""

    name = "aws"
    features = Features(
        spot=True,
        lifetime=False,
        notice="aws",
        notice_s=120.0,
        boot_log=True,
        cannot={
            "lifetime": "EC2 ends no machine by the clock: a timer of the machine itself does, and whatever powers it "
            "off terminates it",
            "interrupt": "only EC2 itself takes machines back",
        },
    )

    def __init__(
        self,
        clients: Clients,
        place: Place,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Asks nothing of AWS. Raises UserError for a farm or options that are not understood."""
        options = Options.read(place.options)
        self._clients = clients
        self._own = Labels(labels.check_farm(place.farm), clients.region)
        self._clock = clock
        self._max_usd = options.max_usd_per_hour
        self._network = Network(clients, self._own, options)
        self._template = Template(clients, self._own, options)
        cache = Path(options.price_cache) if options.price_cache else get_settings().data / PRICE_CACHE
        self._prices = Prices(clients, cache=cache, overrides=parse_overrides(options.prices), clock=clock)
        self.account = Account(clients, self._own, options, sleep=sleep)
        """What the farm needs in the account, besides agents."""
        self.manager_host = ManagerHost(
            clients, self._own, self._network, options, account=self.account.number, clock=clock, sleep=sleep
        )
        """The Manager's own machine, which is none of the agents'."""
        parts = (clients, self._own, self._network, self._template, self._prices, options, clock)
        self._doctor = Doctor(*parts, rehearsals=self.manager_host.rehearsals)
        self._types: Sequence[MachineType] = ()
        self._seen_gone: dict[str, float] = {}
        self._lock = threading.Lock()
        self._creating = threading.Lock()
        """Requests take turns: two for one machine would delete each other's launch template."""

    @property
    def region(self) -> str:
        """Where it works."""
        return self._clients.region

    def create(self, wanted: Wanted) -> Created:
        """Start a machine for each name in the best place that has one; see fleet.py."""
        with self._creating:
            return self._create(wanted)

    def _create(self, wanted: Wanted) -> Created:
        known = self._known(wanted)
        missing = [name for name in wanted.names if name not in known]
        if not missing:
            return Created([known[name] for name in wanted.names])
        if not wanted.offers or len({offer.spot for offer in wanted.offers}) != 1:
            raise FarmError("EC2 has to be told which machine types, either all spot or all on-demand")
        launches = [self._launch(wanted, name) for name in missing]
        launcher = Launcher(
            self._clients["ec2"],
            self._own,
            subnets=self._network.subnets(),
            base=self._template.data(),
            max_usd=self._max_usd,
        )
        self._template.sweep(self._clock())
        with ThreadPoolExecutor(LAUNCHES_AT_ONCE) as pool:
            answers = list(pool.map(launcher.launch, launches))
        made = [instance for instances, _ in answers for instance in instances]
        refused: dict[Refusal, None] = {refusal: None for _, refusals in answers for refusal in refusals}
        return Created([*known.values(), *made], list(refused))

    def list(self) -> Sequence[Instance]:
        """The farm's agents; those that ended within about an hour as GONE."""
        return [self._confirmed(machines.instance(item)) for item in self._described()]

    def destroy(self, names: Sequence[str]) -> None:
        """Terminate machines, by the names of their agents."""
        wanted = set(names)
        ids = [
            item["InstanceId"]
            for item in self._described(states=machines.LIVING)
            if machines.instance(item).name in wanted
        ]
        if not ids:
            return
        with explained(f"end {labels.named(sorted(wanted))}"):
            self._terminate(ids)

    def interrupt(self, name: str, left_s: float | None) -> None:
        """EC2 alone takes spot machines back."""
        raise FarmError(
            f"{name} cannot be interrupted: only EC2 itself takes its machines back. "
            "AWS Fault Injection Service can send the notice (docs/clouds.md); `blendnet agent remove` ends the agent"
        )

    def machine_types(self) -> Sequence[MachineType]:
        """What the region offers, without bare metal."""
        with self._lock:
            if not self._types:
                with explained("ask for machine types"):
                    pages = self._clients["ec2"].get_paginator("describe_instance_types")
                    found = pages.paginate(Filters=[{"Name": "bare-metal", "Values": ["false"]}])
                    self._types = [machines.machine_type(item) for page in found for item in page["InstanceTypes"]]
            return self._types

    def prices(self, offers: Sequence[Offer]) -> Mapping[Offer, Price]:
        """Spot prices by zone, list prices by region; see prices.py."""
        return self._prices.of(offers)

    def quotas(self) -> Sequence[Quota]:
        """vCPUs that the account may have and has, by kind."""
        return quotas.read(self._clients)

    def checks(self) -> Sequence[Check]:
        """What `blendnet cloud doctor` shows."""
        return self._doctor.examine()

    def boot_log(self, name: str) -> str:
        """The console of the newest machine of that name; EC2 has it for about an hour after its end."""
        items = [item for item in self._described() if machines.instance(item).name == name]
        if not items:
            return ""
        newest = max(items, key=lambda item: machines.seconds(item.get("LaunchTime")) or 0.0)
        return described.console(self._clients, newest["InstanceId"], name)

    def interrupted(self, instance: Instance) -> bool:
        """True when EC2 took the machine back, False when somebody ended it."""
        return machines.interrupted(instance)

    def _launch(self, wanted: Wanted, name: str) -> Launch:
        token = wanted.token or uuid.uuid4().hex
        text = user_data.wrap(wanted.user_data(name), wanted.lifetime_s)
        return Launch(name, self._request(token, name), text, wanted.offers, self._clock())

    def _request(self, token: str, name: str) -> str:
        return labels.digest(self._own.farm, self._own.region, token, name)

    def _known(self, wanted: Wanted) -> dict[str, Instance]:
        """Machines that are there already: under a name, or made by this request, even if they have ended since."""
        requests = {self._request(wanted.token, name): name for name in wanted.names} if wanted.token else {}
        found: dict[str, Instance] = {}
        for item in self._described():
            instance = self._confirmed(machines.instance(item))
            living = instance.state in (InstanceState.STARTING, InstanceState.RUNNING)
            asked = requests.get(labels.tags_of(item).get(labels.REQUEST, ""))
            if asked or (living and instance.name in wanted.names):
                name = asked or instance.name
                found[name] = instance if living else found.get(name, instance)
        return found

    def _described(self, states: Sequence[str] = ()) -> Sequence[dict[str, Any]]:
        filters = labels.tag_filter(self._own.tags(labels.AGENT_ROLE))
        if states:
            filters.append(described.in_states(states))
        return described.machines(self._clients, filters)

    def _confirmed(self, instance: Instance) -> Instance:
        """With a time of its end, if it has ended: where EC2 names none, when that was first seen."""
        if instance.state is not InstanceState.GONE or instance.ended_at is not None:
            return instance
        return replace(instance, ended_at=self._seen_gone.setdefault(instance.id, self._clock()))

    def _terminate(self, ids: Sequence[str]) -> None:
        """One call for all; where it fails because one has just vanished, one call each."""
        from botocore.exceptions import ClientError

        try:
            self._clients["ec2"].terminate_instances(InstanceIds=[*ids])
        except ClientError as error:
            if not trouble.code_of(error).startswith("InvalidInstanceID"):
                raise
            if len(ids) > 1:
                for id_ in ids:
                    self._terminate([id_])


def make(place: Place) -> AwsProvider:
    """The provider for `registry.open_provider`. Raises UserError or FarmError; asks nothing of AWS."""
    labels.check_farm(place.farm)
    return AwsProvider(connect(place.region, place.options), place)
