"""A farm in a cloud on its way into being, and what is said of it before."""

import os

from . import classes, ops_here, runtime
from .cloud_form import MARKETS
from .lib import bundle, cloud, cloud_choices
from .lib.errors import SetUpError, Stopped
from .lib.own_address import own_address
from .lib.words import plural

BUNDLE_VARIABLE = "BLENDNET_WORKER_BUNDLE"
"""Who names a bundle gets that one."""
SHOWN = 6
"""Things in the cloud that a sentence names."""


def confirmation(place, wanted):
    """What the confirmation says: [(icon, text)]. Raises AddonError: the hourly cap cannot hold."""
    types = runtime.get().cloud.types_at(place)
    bill = cloud_choices.Bill(wanted, types, place.provider)
    if not wanted.market:
        return [
            ("WORLD", f"The farm in {place.words} stays as it was made"),
            ("INFO", "Its Manager is started when it is stopped, and costs money while it runs"),
        ]
    if types:
        wanted.settings(bill)
    how = next(label for name, label, _ in MARKETS if name == wanted.market).lower()
    machine = wanted.machine or "the cheapest type of the moment"
    return [
        ("WORLD", f"A Manager in {place.words}, and all that it needs in your account"),
        ("DESKTOP", f"Agents come with jobs: {plural(wanted.agents, 'machine')} at most, {machine}, {how}"),
        ("INFO", cost_text(bill, wanted)),
        ("BLANK1", "Disks, addresses, files and traffic come on top"),
        ("TIME", "Without jobs the Manager stops itself after 30 min; its disk goes on to cost"),
    ]


def cost_text(bill, wanted):
    """What an hour costs at most, in a sentence."""
    hour = bill.hour_usd(wanted)
    if hour is None:
        return "What an hour costs is not known yet: choose a machine, or set a cap"
    text = f"An hour of machines costs {cloud_choices.price_text(hour)} at most"
    if bill.machine_usd is None or bill.manager_usd is None:
        return text + ": the cap"
    parts = f"{wanted.agents} x {cloud_choices.price_text(bill.machine_usd)}"
    parts += f" and the Manager {cloud_choices.price_text(bill.manager_usd)}"
    return f"{text} ({parts})"


class Creation(cloud.Making):
    """A farm in a cloud on its way into being."""

    def __init__(self, session, farm, place, wanted, cap_job, reach):
        super().__init__(farm, place, f"Making a Manager in {place.words}", fresh=bool(wanted.market))
        self._session = session
        self._wanted = wanted
        self._cap_job = cap_job
        self._reach = reach
        self._types = session.cloud.types_at(place)

    def run(self, stop):
        wanted = self._wanted
        if (wanted.cap_hour or wanted.machine) and not self._types:
            self.step = f"Asking {self._place.words} for prices"
            self._types = self._farm.types(self._place, stop)
        if wanted.machine and wanted.machine not in [entry["name"] for entry in self._types]:
            raise SetUpError(f"{self._place.words} has no machine type {wanted.machine!r}: choose one of the list")
        settings = wanted.settings(cloud_choices.Bill(wanted, self._types, self._place.provider))
        more = {"allow": cloud_choices.allowed(self._reach, own_address)} if self._reach else {}
        packed = os.path.join(self._farm.data, "cloud", "bundle.tar.gz")
        if not os.environ.get(BUNDLE_VARIABLE) and bundle.fits(ops_here.PROGRAM, self._farm.program):
            self.step = "Packing BlendNet for the machine"
            bundle.pack(ops_here.PROGRAM, packed)
            settings[BUNDLE_VARIABLE] = packed
        try:
            answer = self.up(self._place.arguments(**more) + wanted.arguments(), settings, stop)
        except (SetUpError, Stopped) as error:
            self._session.outbox.put(self._failed)
            raise type(error)(_with_begun(str(error), self.begun)) from error
        facts = {name: answer[name] for name in ("provider", "region", "usd_per_hour", "usd_per_hour_stopped")}
        facts["cap_job_usd"] = self._cap_job
        self._session.kept.keep_cloud(self._farm.data, self._farm.program, facts)
        return answer

    def heard(self, answer):
        session = self._session
        session.set_up_changed()
        session.cloud.form_open, session.cloud.begun, session.cloud.status = False, None, None
        session.cloud.note = cloud.note(self._farm.data)
        price = (
            "" if answer["usd_per_hour"] is None else f" It costs {classes.dollars(answer['usd_per_hour'])} an hour."
        )
        session.say(f"The Manager answers at {answer['manager']['url']}.{price}")
        runtime.look_soon()

    def _failed(self):
        self._session.cloud.begun = self.begun
        self._session.cloud.note = cloud.note(self._farm.data)


def _with_begun(text, begun):
    """An error with what is in the cloud all the same."""
    if not begun:
        return text
    names = ", ".join(begun[:SHOWN]) + (f" and {len(begun) - SHOWN} more" if len(begun) > SHOWN else "")
    return f"{text.rstrip('.')}. In the cloud there is by now: {names}. Go On goes on with it, Destroy removes it"
