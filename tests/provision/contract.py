"""The contract of provision/base.py as tests: any provider's fixture can be run through them.

A test module makes a subclass whose name begins with Test and gives it a fixture `subject`; see docs/providers.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

import pytest

from blendnet.errors import FarmError
from blendnet.provision.base import (
    CheckState,
    Created,
    Instance,
    InstanceState,
    Offer,
    Provider,
    Refusal,
    Shortage,
    Wanted,
)

Found = TypeVar("Found")

NOWHERE = Offer("no-such-machine", "", False)
SOURCES = {"live", "cache", "list", "user"}
NOTICES = {"", "aws", "gcp", "azure"}


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A provider to be tested, and what a test has to know of it."""

    provider: Provider
    offers: Sequence[Offer] = ()
    """Offers that it can fulfil; empty: there is nothing to choose."""
    other_farm: Provider | None = None
    """The same provider for another farm on the same account."""
    user_data: Callable[[str], str] = field(default=lambda name: "")
    """User data that keeps a machine running."""
    timeout_s: float = 10.0
    """Within so long a machine that is told to end has ended."""
    steady_ids: bool = True
    """A machine keeps its id."""
    again: Callable[[], Provider] | None = None
    """Opens the provider anew, as a Manager does that starts; None: its machines end with the Manager."""

    def wanted(self, *names: str, token: str = "") -> Wanted:
        """A request for machines of these names."""
        return Wanted(names=names, offers=self.offers, user_data=self.user_data, token=token or "-".join(names))

    def living(self) -> dict[str, Instance]:
        """Machines that are not confirmed to be gone, by name."""
        return {i.name: i for i in self.provider.list() if i.state is not InstanceState.GONE}


class MakingContract:
    """Machines: how they come, are listed and go. The subject's farm has none at first."""

    def test_lists_nothing_before_anything_is_created(self, subject: Subject) -> None:
        assert subject.living() == {}

    def test_lists_what_it_created(self, subject: Subject) -> None:
        created = subject.provider.create(subject.wanted("agent-1", "agent-2"))
        assert (sorted(i.name for i in created.instances), list(created.refusals)) == (["agent-1", "agent-2"], [])
        wait_until(lambda: set(subject.living()) == {"agent-1", "agent-2"}, "both machines are listed", subject)

    def test_a_machine_is_what_was_offered(self, subject: Subject) -> None:
        if not subject.offers:
            pytest.skip("there is nothing to choose")
        before = time.time()
        subject.provider.create(subject.wanted("agent-1"))
        found = wait_until(lambda: subject.living().get("agent-1"), "it is listed", subject)
        assert found.machine in {offer.machine for offer in subject.offers}
        assert found.spot in {offer.spot for offer in subject.offers}
        assert found.id
        assert found.launched_at is not None
        assert before - 60 < found.launched_at < time.time() + 60
        assert found.ended_at is None

    def test_a_manager_that_starts_anew_finds_the_same_machines(self, subject: Subject) -> None:
        if subject.again is None:
            pytest.skip("its machines end with the Manager")
        subject.provider.create(subject.wanted("agent-1"))
        first = wait_until(lambda: subject.living().get("agent-1"), "it is listed", subject)
        after = replace(subject, provider=subject.again())
        second = after.living()["agent-1"]
        assert (second.id, second.machine, second.spot) == (first.id, first.machine, first.spot)
        assert second.zone in ("", first.zone)
        assert first.launched_at is not None
        assert second.launched_at is None or abs(second.launched_at - first.launched_at) < 60
        again = after.provider.create(after.wanted("agent-1"))
        assert [i.id for i in again.instances] == [first.id]
        after.provider.destroy(["agent-1"])
        wait_until(lambda: not after.living(), "it is gone", after)

    @pytest.mark.parametrize("token", ["agent-1", "another"], ids=["repeated", "asked-anew"])
    def test_creating_again_leaves_a_running_machine_alone(self, subject: Subject, token: str) -> None:
        subject.provider.create(subject.wanted("agent-1"))
        first = wait_until(lambda: subject.living().get("agent-1"), "it is listed", subject)
        again = subject.provider.create(subject.wanted("agent-1", token=token))
        assert [i.name for i in again.instances] == ["agent-1"]
        second = wait_until(lambda: subject.living().get("agent-1"), "it is still listed", subject)
        assert len([i for i in subject.provider.list() if i.state is not InstanceState.GONE]) == 1
        if subject.steady_ids:
            assert (second.id, second.launched_at) == (first.id, first.launched_at)

    def test_threads_that_ask_for_the_same_name_get_one_machine(self, subject: Subject) -> None:
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(subject.provider.create, subject.wanted("agent-1", token="t")) for _ in range(4)]
            assert all(future.result() is not None for future in asked)
        found = [i for i in subject.provider.list() if i.state is not InstanceState.GONE]
        assert [i.name for i in found] == ["agent-1"]

    def test_the_end_of_a_machine_is_confirmed(self, subject: Subject) -> None:
        subject.provider.create(subject.wanted("agent-1", "agent-2"))
        subject.provider.destroy(["agent-1"])
        wait_until(lambda: set(subject.living()) == {"agent-2"}, "agent-1 is gone", subject)
        for gone in subject.provider.list():
            if gone.name == "agent-1":
                assert gone.ended_at is not None
                assert gone.launched_at is None or gone.launched_at <= gone.ended_at <= time.time() + 1

    def test_a_confirmed_end_stays_as_it_is(self, subject: Subject) -> None:
        subject.provider.create(subject.wanted("agent-1"))
        subject.provider.destroy(["agent-1"])
        wait_until(lambda: not subject.living(), "it is gone", subject)
        ends = [{i.name: i.ended_at for i in subject.provider.list()} for _ in range(2)]
        assert ends[0] == ends[1]

    def test_destroying_may_be_repeated_and_ignores_unknown_names(self, subject: Subject) -> None:
        subject.provider.create(subject.wanted("agent-1"))
        for _ in range(2):
            subject.provider.destroy(["agent-1", "nobody"])
        wait_until(lambda: not subject.living(), "it is gone", subject)
        subject.provider.destroy([])

    def test_a_name_can_be_used_again_after_its_machine_is_gone(self, subject: Subject) -> None:
        subject.provider.create(subject.wanted("agent-1", token="first"))
        subject.provider.destroy(["agent-1"])
        wait_until(lambda: not subject.living(), "it is gone", subject)
        subject.provider.create(subject.wanted("agent-1", token="second"))
        wait_until(lambda: set(subject.living()) == {"agent-1"}, "there is another one", subject)

    def test_another_farm_is_left_alone(self, subject: Subject) -> None:
        if subject.other_farm is None:
            pytest.skip("it has one farm only")
        other = replace(subject, provider=subject.other_farm)
        other.provider.create(other.wanted("agent-1"))
        try:
            assert subject.living() == {}
            subject.provider.destroy(["agent-1"])
            wait_until(lambda: set(other.living()) == {"agent-1"}, "the other farm's machine runs", subject)
        finally:
            other.provider.destroy(["agent-1"])
            wait_until(lambda: not other.living(), "it is gone", subject)

    def test_what_is_not_on_offer_is_refused_and_nothing_is_made(self, subject: Subject) -> None:
        if not subject.offers:
            pytest.skip("there is nothing to choose")
        created = Created(refusals=[Refusal(NOWHERE, Shortage.REFUSED, "it said so at once")])
        with suppress(FarmError):
            created = subject.provider.create(Wanted(names=["agent-1"], offers=[NOWHERE], token="nowhere"))
        assert list(created.instances) == []
        assert created.refusals
        assert all(refusal.message for refusal in created.refusals)
        assert subject.living() == {}

    def test_what_cannot_be_interrupted_says_so(self, subject: Subject) -> None:
        subject.provider.create(subject.wanted("agent-1"))
        found = wait_until(lambda: subject.living().get("agent-1"), "it is listed", subject)
        features = subject.provider.features
        if "interrupt" not in features.cannot and found.spot is features.spot:
            subject.provider.interrupt("agent-1", None)
            return
        with pytest.raises(FarmError, match="agent-1"):
            subject.provider.interrupt("agent-1", None)
        assert set(subject.living()) == {"agent-1"}


class AskingContract:
    """What a provider says: types, prices, quotas, checks, and what it cannot do. Nothing is made for it."""

    def test_lists_no_machines_of_others(self, subject: Subject) -> None:
        assert subject.living() == {}

    def test_unknown_prices_are_missing(self, subject: Subject) -> None:
        prices = subject.provider.prices([*subject.offers, NOWHERE])
        assert set(prices) <= set(subject.offers)
        for offer, price in prices.items():
            assert (price.machine, price.spot) == (offer.machine, offer.spot)
            assert price.usd_per_hour >= 0
            assert price.source in SOURCES
            assert price.at <= time.time() + 60

    def test_machine_types_make_sense(self, subject: Subject) -> None:
        types = subject.provider.machine_types()
        names = [type_.name for type_ in types]
        assert len(set(names)) == len(names)
        assert {offer.machine for offer in subject.offers} <= set(names)
        assert all(type_.vcpus > 0 and type_.memory_bytes > 0 for type_ in types)

    def test_quotas_are_numbers_or_unknown(self, subject: Subject) -> None:
        quotas = subject.provider.quotas()
        assert len({quota.name for quota in quotas}) == len(quotas)
        for quota in quotas:
            assert quota.name
            assert quota.limit is None or quota.limit >= 0
            assert quota.used is None or quota.used >= 0

    def test_quotas_say_what_machines_take_of_them(self, subject: Subject) -> None:
        types = {type_.name: type_ for type_ in subject.provider.machine_types()}
        for quota in subject.provider.quotas():
            for offer in subject.offers:
                units = quota.takes(types[offer.machine], offer.spot)
                assert units >= 0
                assert quota.unit != "GPU" or units <= types[offer.machine].gpus
                assert quota.unit != "vCPU" or units in (0, types[offer.machine].vcpus)

    def test_checks_name_what_mends_them(self, subject: Subject) -> None:
        checks = subject.provider.checks()
        assert all(check.name and check.message for check in checks)
        assert all(check.help for check in checks if check.state is CheckState.PROBLEM)
        assert subject.living() == {}

    def test_features_say_what_it_cannot_do(self, subject: Subject) -> None:
        features = subject.provider.features
        assert subject.provider.name
        assert features.notice in NOTICES
        assert (features.notice_s > 0) == bool(features.notice)
        assert all(len(reason.split()) > 2 for reason in features.cannot.values())
        assert features.spot or not any(offer.spot for offer in subject.offers)
        lacking = {
            "spot": not features.spot,
            "lifetime": not features.lifetime,
            "boot log": not features.boot_log,
            "quotas": not subject.provider.quotas(),
        }
        named = {word: word in features.cannot for word in lacking}
        assert named == lacking, "what it lacks is in `cannot`, with the reason, and nothing else is"

    def test_there_is_no_boot_log_of_nobody(self, subject: Subject) -> None:
        said = ""
        with suppress(FarmError):
            said = subject.provider.boot_log("nobody")
        assert said == ""


class ProviderContract(MakingContract, AskingContract):
    """All of it."""


def wait_until(condition: Callable[[], Found], what: str, subject: Subject) -> Found:
    """The first true value of a condition; fails naming it when it does not come in time."""
    deadline = time.monotonic() + subject.timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {subject.timeout_s:g} s: {what}"
        time.sleep(0.02)
    return value
