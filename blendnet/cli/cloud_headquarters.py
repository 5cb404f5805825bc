"""The Manager's machine of a data folder's farm, as the commands of `blendnet cloud` handle it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

from blendnet.cli import output
from blendnet.cli.cloud_account import MachinesAlone
from blendnet.cli.cloud_farm import CloudFarm, Note
from blendnet.cli.cloud_place import Choice
from blendnet.client import ManagerClient
from blendnet.errors import BlendNetError, Conflict, FarmError, ManagerUnreachable, NoLogin, UserError
from blendnet.manager.folder import DataFolder
from blendnet.messages import FarmView
from blendnet.provision.base import Account, Offer, Place, Provider, account_of
from blendnet.provision.bootstrap_manager import Site
from blendnet.provision.manager_machine import ManagerHost, ManagerMachine, ManagerState, manager_host_of
from blendnet.provision.manager_price import ManagerPrice
from blendnet.provision.pauses import pauses
from blendnet.provision.registry import open_provider
from blendnet.security.published import Published, read_published
from blendnet.settings import Settings, get_settings

LOOK_S = 5.0
"""Most between two looks."""
START_LIMIT_S = 1800.0
"""A stock machine installs itself within minutes; a cloud may take its time before that."""
STOP_LIMIT_S = 300.0
UNSEEN_S = 90.0
"""So long a machine that was just asked for may still show as absent or stopped."""
OFF = (ManagerState.ABSENT, ManagerState.STOPPED)
LAST_WORDS = 15
"""Lines of the console that a failure shows."""
TELLING = ("blendnet", "data disk", "cloud-init", "startup-script")
"""Words of lines about the making of a Manager: a system that shuts down says much else after them."""


class Headquarters:
    """One farm's Manager in a cloud: its machine, what this machine knows of it, and its account."""

    def __init__(
        self,
        folder: DataFolder,
        provider: Provider,
        place: Place,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Raises UserError: the provider makes no machine for a Manager."""
        host, account = manager_host_of(provider), account_of(provider)
        if host is None or account is None:
            raise UserError(f"{provider.name} makes no machine for a Manager: aws and gcp do (docs/clouds.md)")
        self.farm = CloudFarm(folder)
        self.provider = provider
        self.place = place
        self.host: ManagerHost = host
        self.account: Account = account
        self._clock = clock
        self._sleep = sleep

    @property
    def label(self) -> str:
        """What everything of the farm is labelled with."""
        return self.place.farm

    @cached_property
    def site(self) -> Site:
        """Where the Manager is, or will be. Raises FarmError."""
        return self.host.site()

    def note_place(self) -> None:
        """Remember which cloud the farm is in, before anything is made there."""
        note = self.farm.read() or Note(provider=self.provider.name, region="")
        name, site, options = self.provider.name, self.site, self.place.options
        self.farm.write(replace(note, provider=name, region=site.region, options=options, bucket=site.bucket))

    def price(self, machine: str, disk_gb: int, settings: Settings) -> ManagerPrice:
        """What the machine costs, as far as anybody knows."""
        offer = Offer(machine, "", False)
        price = None
        with contextlib.suppress(BlendNetError):  # No price is no reason to stop: it is shown as unknown.
            price = self.provider.prices([offer]).get(offer)
        return ManagerPrice(
            machine=machine,
            price=price,
            disk_gb=disk_gb,
            disk_usd_per_gb_month=settings.estimate_disk_usd_per_gb_month,
            address_usd_per_hour=settings.estimate_address_usd_per_hour,
        )

    def said(self) -> Published | None:
        """What the Manager says of itself in the bucket, noted here too; None: nothing yet.

        Raises FarmError: the cloud does not say, or what lies there is no Manager's.
        """
        data = self.host.published()
        if data is None:
            return None
        said = read_published(data)
        if self.farm.read() is not None and self.farm.learn(said):
            output.say(f"The farm has another authority than before: {said.fingerprint}")
        return said

    def ask(self) -> FarmView:
        """The farm as its Manager sees it. Raises ManagerUnreachable, NoLogin, Conflict (it has not said where)."""
        with self.client() as client:
            return client.farm()

    def client(self) -> ManagerClient:
        """Calls to the Manager. Raises Conflict: it has not said where it is."""
        note = self.farm.read()
        if note is None:
            raise Conflict("this data folder knows of no Manager in a cloud: `blendnet cloud up` makes one")
        return ManagerClient(self.farm.connection(note, get_settings()))

    def wait_until_up(self, limit_s: float = START_LIMIT_S) -> FarmView:
        """Wait, saying what is waited for, until the Manager answers.

        Raises:
            FarmError: the machine ended instead, or it takes too long; with the console's last words.
            NoLogin: it does not take the password that is here.
        """
        began, told, ran, later = self._clock(), "", False, pauses(LOOK_S)
        while True:
            machine, waited_s = self.host.look(), self._clock() - began
            ran = ran or machine.state is ManagerState.RUNNING
            if machine.state in OFF and (ran or waited_s > UNSEEN_S):
                raise self._failed("has ended instead of becoming the Manager", machine)
            try:
                said = self.said()
                if said is not None and not said.ended:
                    return self.ask()
            except NoLogin as error:
                raise NoLogin(
                    f"the Manager does not take the password in {self.farm.password_file}: it was made with another. "
                    "`blendnet cloud destroy --keep-data` and `blendnet cloud up` give it this one"
                ) from error
            except ManagerUnreachable:
                pass
            if (text := _awaited(machine, said)) != told:
                output.say(text)
                told = text
            if waited_s > limit_s:
                raise self._failed(f"has not become a Manager within {limit_s / 60:.0f} min", machine)
            self._sleep(next(later))

    def stop(self) -> ManagerMachine:
        """End the farm, its agents first, and stop the machine; returns when the cloud says so. Raises FarmError.

        A Manager that does not answer ends no agents: `end_agents`.
        """
        with contextlib.suppress(ManagerUnreachable, Conflict, NoLogin):
            with self.client() as client:
                client.stop_farm()  # It ends its agents, and powers its machine off.
            self._wait_for_stop(STOP_LIMIT_S)
        self.host.stop()
        return self._wait_for_stop(STOP_LIMIT_S)

    def end_agents(self) -> None:
        """End the agents' machines that no Manager has ended. Raises FarmError, also when some are still there."""
        machines = MachinesAlone(self.provider)
        machines.remove()
        if left := machines.remains():
            raise FarmError(f"not all agents have ended ({', '.join(left)}): they cost money; try again in a minute")

    def _wait_for_stop(self, limit_s: float) -> ManagerMachine:
        until, later = self._clock() + limit_s, pauses(LOOK_S)
        while (machine := self.host.look()).state not in OFF:
            if self._clock() > until:
                break
            self._sleep(next(later))
        return machine

    def _failed(self, what: str, machine: ManagerMachine) -> FarmError:
        try:
            last = "\n".join(last_words(self.host.log()))
        except BlendNetError as error:
            last = f"(its console cannot be read: {error})"
        name = machine.id or "the Manager's machine"
        return FarmError(
            f"{name} {what}. It costs money while it is there: `blendnet cloud status` looks, `blendnet cloud logs` "
            f"shows all of its console, `blendnet cloud start` lets it try again, `blendnet cloud destroy --keep-data` "
            f"ends it (then `blendnet cloud up` makes another). Its last words:\n{last}"
        )


def headquarters_of(choice: Choice, folder: DataFolder) -> Headquarters:
    """The farm's Manager where the options say, else where the folder's note says, else where the settings say.

    Raises:
        UserError: nobody says in which cloud, or that cloud makes no machine for a Manager.
        Conflict: the farm is in another place or account already.
        FarmError: the cloud does not say which account this is.
    """
    settings = get_settings()
    folder.create()
    note = CloudFarm(folder).read()
    if note is not None:
        choice = _as_noted(choice, note)
    place = replace(choice.place(settings), farm=folder.label())
    found = Headquarters(folder, open_provider(choice.name(settings), place), place)
    if note is not None:
        note.check_login(found.site.bucket)
    return found


def _as_noted(choice: Choice, note: Note) -> Choice:
    """With what the note says where the options say nothing. Raises Conflict."""
    noted = note.choice(choice)
    if noted is None:
        raise Conflict(
            f"the Manager of this farm is in {note.place}: end it with `blendnet cloud destroy` first, or use "
            "another data folder (--data)"
        )
    return noted


def last_words(console: str) -> Sequence[str]:
    """The lines of a console that may say what went wrong. PURE."""
    lines = [line.rstrip() for line in console.splitlines() if line.strip()]
    telling = [line for line in lines if any(word in line.lower() for word in TELLING)]
    return (telling or lines)[-LAST_WORDS:]


def unfinished(view: FarmView) -> Sequence[str]:
    """Names of jobs that are being rendered, or will be."""
    return [job.name for job in view.jobs if job.state.value in ("queued", "active")]


def _awaited(machine: ManagerMachine, said: Published | None) -> str:
    """What is waited for, for people. PURE."""
    name = machine.id or "the machine"
    if machine.state is not ManagerState.RUNNING:
        return f"{name} is {machine.state.value} ..."
    where = f" at {machine.address}" if machine.address else ""
    if said is None:
        return f"{name} runs{where} and installs itself; a first start takes about 5 minutes ..."
    if said.ended:
        return f"{name} runs{where}; the Manager starts ..."
    return f"{name} runs{where}; waiting for an answer from {said.url} ..."
