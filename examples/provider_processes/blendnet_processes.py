"""A BlendNet provider whose "machines" are processes on this host: user data is a script that sh runs."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

from blendnet.errors import FarmError
from blendnet.provision import base
from blendnet.provision.base import Check, CheckState, Created, Instance, InstanceState, MachineType, Offer, Price

MARK = "BLENDNET_PROCESSES_MACHINE"  # In the environment of all that a machine runs: children inherit it.
CORES, MEMORY = os.cpu_count() or 1, psutil.virtual_memory().total
TYPES = {"core": MachineType("core", 1, MEMORY // CORES), "host": MachineType("host", CORES, MEMORY)}


def open_provider(place):
    """What the entry point names: a Place in, a Provider out. Asks nothing of anybody yet."""
    return Processes(place)


class Processes:
    name = "processes"
    features = base.Features(lifetime=True, boot_log=True, cannot={"spot": "a process costs the same either way"})

    def __init__(self, place):
        home = Path(place.options.get("folder") or "~/.cache/blendnet-processes")
        self._farm = home.expanduser().resolve() / place.farm  # Everything of one farm, and of no other.
        self._usd_per_vcpu_hour = place.options.get("usd_per_vcpu_hour")

    def create(self, wanted):
        offer = next(iter(wanted.offers), Offer("core", "", False))
        if words := self._no(offer):
            return Created(refusals=[base.Refusal(offer, base.Shortage.REFUSED, words) for _ in wanted.names])
        try:
            return Created([self._one(self._farm / name, offer, wanted) for name in wanted.names])
        except OSError as error:
            raise FarmError(f"cannot start a process in {self._farm}: {error}") from error

    def _no(self, offer):
        if offer.machine not in TYPES:
            return f"there is no machine type {offer.machine!r}"
        return self.features.cannot["spot"] if offer.spot else ""

    def _one(self, folder, offer, wanted):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._turn(folder):
            if not self._members(folder):
                self._start(folder, offer, wanted)
        return self._look(folder)

    def _turn(self, folder):
        """Calls at the same moment take turns until they close it: nothing is made twice, or listed half made."""
        lock = (folder / "lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        return lock

    def _start(self, folder, offer, wanted):
        script = folder / "user-data"
        script.write_text(wanted.user_data(folder.name))
        # Before it exists: whenever the Manager crashes, the machine is known.
        self._write(folder, {"id": str(time.time_ns()), "machine": offer.machine, "launched_at": time.time()})
        # timeout(1) ends it even if the Manager is never heard of again.
        command = ["timeout", "--kill-after=5", str(wanted.lifetime_s), "sh", str(script)]
        marked = {**os.environ, MARK: str(folder)}
        with (folder / "boot.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, cwd=folder, env=marked)
        threading.Thread(target=process.wait, daemon=True).start()  # Or it would stay a zombie.

    def _write(self, folder, facts):
        (folder / "new").write_text(json.dumps(facts))
        (folder / "new").rename(folder / "machine.json")  # After a crash it is the old one or the new one.

    def list(self):
        return [self._look(path.parent) for path in sorted(self._farm.glob("*/machine.json"))]

    def _look(self, folder):
        with self._turn(folder):
            facts = json.loads((folder / "machine.json").read_text())
            if "ended_at" not in facts and not self._members(folder):
                facts["ended_at"] = time.time()  # From now on nobody pays for it.
                self._write(folder, facts)
        return Instance(folder.name, InstanceState.GONE if "ended_at" in facts else InstanceState.RUNNING, **facts)

    def _members(self, folder):
        """The living processes of a machine. Its mark tells them: numbers and sessions go to somebody else in time."""
        processes = psutil.process_iter(["environ"])  # None: it is none of ours. A zombie's is empty.
        return [process for process in processes if (process.info["environ"] or {}).get(MARK) == str(folder)]

    def destroy(self, names):
        self._signal(names, signal.SIGKILL)

    def interrupt(self, name, left_s):
        self._signal([name], signal.SIGTERM)  # An agent takes it for a notice.

    def _signal(self, names, number):
        for process in [process for name in names for process in self._members(self._farm / name)]:
            with suppress(psutil.NoSuchProcess):  # It ended just now.
                process.send_signal(number)

    def machine_types(self):
        return list(TYPES.values())

    def prices(self, offers):
        if self._usd_per_vcpu_hour is None:
            return {}  # Unknown, which is not 0.0.
        each = float(self._usd_per_vcpu_hour)
        known = [offer for offer in offers if not self._no(offer)]
        return {o: Price(o.machine, "", False, each * TYPES[o.machine].vcpus, "user", time.time()) for o in known}

    def quotas(self):
        return [base.Quota("processes", limit=None, unit="process", takes=lambda type_, spot: 1)]

    def checks(self):
        if shutil.which("timeout") is None:
            return [Check("timeout", CheckState.PROBLEM, "there is no timeout(1)", "apt-get install coreutils")]
        if self._usd_per_vcpu_hour is None:
            return [Check("price", CheckState.WARNING, "a core has no price", "--option usd_per_vcpu_hour=0.01")]
        return [Check("timeout", CheckState.OK, "machines end by themselves")]

    def boot_log(self, name):
        path = self._farm / name / "boot.log"
        return path.read_text(errors="replace") if path.exists() else ""
