"""A BlendNet provider whose "machines" are processes on this host: user data is a script that sh runs."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import threading
import time
import uuid
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
        home = place.options.get("folder") or Path.home() / ".cache" / "blendnet-processes"
        self._farm = Path(home).expanduser() / place.farm  # Everything of one farm, and of no other.
        self._usd_per_vcpu_hour = place.options.get("usd_per_vcpu_hour")

    def create(self, wanted):
        offer = next(iter(wanted.offers), Offer("core", "", False))
        if words := self._no(offer):
            return Created(refusals=[base.Refusal(offer, base.Shortage.REFUSED, words) for _ in wanted.names])
        try:
            return Created([self._one(name, offer, wanted) for name in wanted.names])
        except OSError as error:
            raise FarmError(f"cannot start a process in {self._farm}: {error}") from error

    def _no(self, offer):
        if offer.machine not in TYPES:
            return f"there is no machine type {offer.machine!r}"
        return self.features.cannot["spot"] if offer.spot else ""

    def _one(self, name, offer, wanted):
        folder = self._farm / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # Two calls at the same moment take turns: no machine is made twice.
            old = self._look(folder)
            return old if old and old.state is InstanceState.RUNNING else self._start(folder, offer, wanted)

    def _start(self, folder, offer, wanted):
        script = folder / "user-data"
        script.write_text(wanted.user_data(folder.name))
        # timeout(1) ends it even if the Manager is never heard of again.
        command = ["timeout", "--kill-after=5", str(wanted.lifetime_s), "sh", str(script)]
        mark = uuid.uuid4().hex
        with (folder / "boot.log").open("wb") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, cwd=folder, env={**os.environ, MARK: mark}
            )
        facts = {"pid": process.pid, "mark": mark, "machine": offer.machine}
        (folder / "new").write_text(json.dumps({**facts, "launched_at": time.time()}))
        (folder / "new").rename(folder / "machine.json")  # Whoever lists meanwhile sees the old one, or all of it.
        threading.Thread(target=process.wait, daemon=True).start()  # Or it would stay a zombie.
        return self._look(folder)

    def list(self):
        return [found for path in sorted(self._farm.glob("*/machine.json")) if (found := self._look(path.parent))]

    def _look(self, folder):
        facts = self._facts(folder)
        if facts is None:
            return None
        gone, end = not self._members(facts), folder / f"ended-{facts['pid']}-{facts['launched_at']}"
        if gone and not end.exists():
            end.write_text(str(time.time()))  # From now on nobody pays for it.
        return Instance(
            folder.name, InstanceState.GONE if gone else InstanceState.RUNNING, facts["pid"], id=str(facts["pid"]),
            machine=facts["machine"], launched_at=facts["launched_at"],
            ended_at=end.stat().st_mtime if gone else None,
        )  # fmt: skip

    def _facts(self, folder):
        path = folder / "machine.json"
        return json.loads(path.read_text()) if path.exists() else None

    def _members(self, facts):
        """The living processes of a machine. Its mark tells them: numbers and sessions go to somebody else in time."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == facts["mark"] and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (OSError, psutil.Error):
                continue  # It ended just now, or is none of ours.
        return found

    def destroy(self, names):
        self._signal(names, signal.SIGKILL)

    def interrupt(self, name, left_s):
        self._signal([name], signal.SIGTERM)  # An agent takes it for a notice.

    def _signal(self, names, number):
        for name in names:
            facts = self._facts(self._farm / name)
            for process in self._members(facts) if facts else ():
                try:
                    process.send_signal(number)
                except psutil.NoSuchProcess:
                    continue
                except psutil.Error as error:
                    raise FarmError(f"cannot end {name}: {error}") from error

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
            help_ = "--option usd_per_vcpu_hour=0.01"
            return [Check("price", CheckState.WARNING, "nobody knows what a core costs", help_)]
        return [Check("timeout", CheckState.OK, "machines end by themselves")]

    def boot_log(self, name):
        path = self._farm / name / "boot.log"
        return path.read_text(errors="replace") if path.exists() else ""
