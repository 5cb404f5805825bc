"""Machines from Google: one bulk request per zone and cloud-init, the next offer where one has none left."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from blendnet.errors import UserError
from blendnet.provision.base import Created, Instance, Offer, Refusal, Wanted
from blendnet.provision.gcp.account import Account
from blendnet.provision.gcp.inventory import Inventory
from blendnet.provision.gcp.operations import Operations, troubles
from blendnet.provision.gcp.request import bulk_request
from blendnet.provision.gcp.sdk import Google, Refused
from blendnet.provision.gcp.shortage import MIN_COUNT, Trouble, shortage_of, telling

CALLS_AT_ONCE = 16


@dataclass(frozen=True)
class Batch:
    """Machines with the same cloud-init, for one request: Google gives all machines of a request the same."""

    names: Mapping[str, str]
    """Google's name of each machine -> its agent."""
    user_data: str


@dataclass(frozen=True)
class Outcome:
    """What came of a batch in one place."""

    instances: Sequence[Instance]
    troubles: Sequence[Trouble] = ()
    certain: bool = True
    """False: machines of it may still come. They must not be asked for elsewhere."""


class Launcher:
    """Asks for machines. Thread-safe."""

    def __init__(self, google: Google, inventory: Inventory, operations: Operations) -> None:
        self._google = google
        self._inventory = inventory
        self._operations = operations

    @property
    def _account(self) -> Account:
        return self._google.account

    def launch(self, wanted: Wanted, names: Sequence[str], zones: Sequence[str]) -> Created:
        """Machines for `names`, by the offers in their order; an offer without a zone means each of `zones`.

        Raises:
            UserError: no offer, or a name that does not fit.
        """
        if not wanted.offers:
            raise UserError("provider gcp has to be told which machines: name at least one offer")
        key = wanted.token or uuid.uuid4().hex
        batches = _batches(self._account, wanted, names, key)
        instances: list[Instance] = []
        refusals: list[Refusal] = []
        for offer in _places(wanted.offers, zones):
            if not batches:
                break
            missing: list[Batch] = []
            for batch, outcome in self._try(offer, batches, wanted.lifetime_s, key):
                instances += outcome.instances
                left = _without(batch, outcome.instances)
                refusals += [_refusal(offer, outcome.troubles) for _ in left.names]
                if outcome.certain and left.names:
                    missing.append(left)
            batches = missing
        return Created(instances, refusals)

    def _try(
        self, offer: Offer, batches: Sequence[Batch], lifetime_s: float, key: str
    ) -> Iterable[tuple[Batch, Outcome]]:
        with ThreadPoolExecutor(min(CALLS_AT_ONCE, len(batches))) as pool:
            return list(
                zip(batches, pool.map(lambda one: self._place(offer, one, lifetime_s, key), batches), strict=True)
            )

    def _place(self, offer: Offer, batch: Batch, lifetime_s: float, key: str) -> Outcome:
        """Ask for a batch in one zone, and look at what there is then."""
        found, certain = self._ask(offer, batch, lifetime_s, key)
        try:
            there = self._inventory.in_zone(offer.zone)
        except Refused as error:
            return Outcome((), [*found, error.trouble], certain=False)
        return Outcome([one for one in there if one.id in batch.names], found, certain)

    def _ask(self, offer: Offer, batch: Batch, lifetime_s: float, key: str) -> tuple[list[Trouble], bool]:
        """What went wrong, and whether it is certain that nothing comes any more."""
        request = {
            "zone": offer.zone,
            "request_id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{key}/{offer}/{sorted(batch.names)}")),
            "bulk_insert_instance_resource_resource": bulk_request(
                self._account, list(batch.names), offer, batch.user_data, lifetime_s
            ),
        }
        try:
            operation = self._google.order("Instances", "bulk_insert_unary", "make machines", **request)
            ended = self._operations.ended(operation, offer.zone, wait_s=self._account.wait_s)
        except Refused as error:
            return [error.trouble], error.answered
        return [*troubles(ended), *_shortfall(ended, offer.zone)], True


def _batches(account: Account, wanted: Wanted, names: Sequence[str], key: str) -> list[Batch]:
    """Agents by their cloud-init, which is made once: it may hold a token that is good for one machine."""
    by_text: dict[str, dict[str, str]] = {}
    for name in names:
        machine = account.machine_name(name, key)
        by_text.setdefault(wanted.user_data(name), {})[machine] = name
    return [Batch(machines, text) for text, machines in by_text.items()]


def _places(offers: Sequence[Offer], zones: Sequence[str]) -> list[Offer]:
    """Each offer in each zone that it means, in order, none twice. PURE."""
    return list(
        dict.fromkeys(replace(one, zone=zone) for one in offers for zone in ([one.zone] if one.zone else zones))
    )


def _without(batch: Batch, instances: Sequence[Instance]) -> Batch:
    made = {one.id for one in instances}
    return replace(batch, names={machine: name for machine, name in batch.names.items() if machine not in made})


def _refusal(offer: Offer, found: Sequence[Trouble]) -> Refusal:
    """Why a machine is not there. Without any error it was made and is gone again."""
    trouble = telling(found or [Trouble("", "the machine was made, and is gone already")])
    words = f"{trouble.code}: {trouble.message}" if trouble.code else trouble.message
    return Refusal(offer, shortage_of(trouble), words)


def _shortfall(operation: Any, zone: str) -> list[Trouble]:
    """A request that was fulfilled in part may end without an error: its metadata tell."""
    places = operation.instances_bulk_insert_operation_metadata.per_location_status
    failed = sum(int(status.failed_to_create_vm_count) for status in places.values())
    return [Trouble(MIN_COUNT, f"{failed} of the machines could not be made in {zone}")] if failed else []
