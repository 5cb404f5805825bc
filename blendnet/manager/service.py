"""The one service process of a farm: API, dispatcher and reconciler in it, Redis, control worker and agents below it.

python -m blendnet.manager.service --agents N [--lifeline]
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from blendnet.errors import BlendNetError, Conflict, FarmError
from blendnet.manager import broker, heap
from blendnet.manager.folder import DataFolder
from blendnet.manager.supervise import Program, Supervisor, limit_log
from blendnet.security.broker_acl import MANAGER
from blendnet.settings import Settings, get_settings
from blendnet.storage.disk import disk_errors

if TYPE_CHECKING:
    from blendnet.manager.core import Core

log = logging.getLogger(__name__)

EXIT_FAILED = 1
EXIT_TAKEN = 3
"""Another service runs on the data folder."""
EXIT_MACHINE = 5
"""The farm was told to end, or had nothing to do, on a machine of its own: that may end, too."""
CONTROL_MODULE = "blendnet.manager.control"
REDIS, CONTROL = "redis", "control"
REDIS_STABLE_S = 5.0
"""A Redis that ends so soon after it ended last cannot read its data."""
USERS_POLL_S = 0.2
UPKEEP_S = 60.0
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class Service:
    """A farm on one data folder, from its start to its end. Used once."""

    def __init__(self, folder: DataFolder, settings: Settings, *, agents: int, private: bool) -> None:
        """`private`: the farm ends when stdin reaches its end and nobody uses the folder any more."""
        self._folder = folder
        self._settings = settings
        self._agents = agents
        self._private = private
        self._stopping = threading.Event()
        self._core: Core | None = None
        self._outside: broker.Outside | None = None
        self._redis_ended_at = -REDIS_STABLE_S
        self.machine_ends = False
        """Who ended the farm meant its machine, too (in a cloud)."""

    def end(self) -> None:
        """Let `run` end the farm: an owner wants it, or there is nothing to do. Safe from threads."""
        self.machine_ends = bool(self._settings.manager_cloud)
        self.stop()

    def stop(self, *_: object) -> None:
        """Let `run` end the farm. Safe from signal handlers and threads."""
        self._stopping.set()

    def run(self) -> None:
        """Serve until told to stop; afterwards no process, socket, temporary folder or farm file is left.

        Raises:
            Conflict: a farm runs on the folder already, or its Manager is in a cloud.
            FarmError: a part of the farm cannot be started.
            DiskFull: there is no room to start in.
        """
        with disk_errors(self._folder.root), ExitStack() as stack:
            self._folder.create()
            stack.enter_context(self._folder.owned(farm=True))
            self._folder.clear()
            if self._folder.cloud_note.exists() and self._settings.fleet_provider not in ("", "local"):
                raise Conflict(
                    f"the farm of {self._folder.root} has its Manager in a cloud, which owns its machines: no second "
                    "Manager may start and end them. Unset BLENDNET_FLEET_PROVIDER, or use another data folder"
                )
            if self._settings.farm_label:
                self._folder.take_label(self._settings.farm_label)
            stack.callback(self._folder.clear)
            runtime = stack.enter_context(self._folder.runtime())
            if self._private:
                threading.Thread(target=self._watch_lifeline, name="lifeline", daemon=True).start()
            supervisor = stack.enter_context(Supervisor(on_exit=self._child_ended))
            socket = runtime / broker.SOCKET_NAME
            if self._settings.listen:
                self._prepare_outside(socket)
            supervisor.start(self._redis(socket))
            # It takes most of a second to load, while Redis starts.
            from blendnet.manager.core import Core

            url = broker.broker_url(socket)
            if self._stopping.is_set():
                return  # Told to end while it starts, as after a scene that cannot be rendered.
            core = Core(
                self._settings,
                self._folder,
                supervisor,
                broker_url=url,
                runtime=runtime,
                stop=self.end,
                outside=self._outside,
            )
            stack.callback(core.stop)
            self._await_redis(supervisor, socket)
            if self._stopping.is_set():
                return
            self._serve(core, supervisor, runtime, url)
            stack.callback(self._end_children, core, supervisor)
            self._idle()

    def _serve(self, core: Core, supervisor: Supervisor, runtime: Path, broker_url: str) -> None:
        """Start the processes and the API; they need each other only when there is work."""
        self._core = core
        if self._private:
            core.pause_jobs()
        supervisor.start(self._control(broker_url, runtime))
        if self._agents:
            core.fleet.add(self._agents)
        core.start()
        self._folder.write(core.farm_file(pid=os.getpid(), private=self._private))
        log.info("the farm is up")

    def _idle(self) -> None:
        """Wait for the end. The agents are ended first, while the API still takes what they commit."""
        while not self._stopping.wait(UPKEEP_S):
            limit_log(self._folder.service_log)
            heap.give_back()
        log.info("the farm ends")
        assert self._core
        if self._private:
            self._core.pause_jobs()

    def _end_children(self, core: Core, supervisor: Supervisor) -> None:
        """End the agents that there are by now, and see that no more of them come."""
        core.stop_fleet()
        supervisor.stop(CONTROL, *supervisor.wanted("agent"))

    def _prepare_outside(self, socket: Path) -> None:
        """For farms that other machines reach: the rest do without what this imports."""
        from blendnet.manager import outside

        ports, self._outside = outside.prepare(self._settings, self._folder, self._folder.security, socket)
        changes = {"api_host": self._settings.listen, "api_port": ports.api}
        self._settings = self._settings.model_copy(update=changes)

    def _redis(self, socket: Path) -> Program:
        server = broker.find_outside_server() if self._outside else broker.find_server()
        return Program(
            name=REDIS,
            role=REDIS,
            command=broker.server_command(server, socket_path=socket, folder=self._folder.redis, outside=self._outside),
            environment=os.environ,
            log=self._folder.logs / "redis.log",
        )

    def _await_redis(self, supervisor: Supervisor, socket: Path) -> None:
        """Wait for Redis. Data it cannot read is set aside: everything it holds can be made again from the ledger."""
        password_file = self._outside.password_file if self._outside else None
        if broker.wait_until_ready(socket, alive=_stays_alive(supervisor), password_file=password_file):
            return
        self._set_redis_data_aside()
        if not broker.wait_until_ready(socket, alive=lambda: not self._stopping.is_set(), password_file=password_file):
            raise FarmError(f"Redis does not start: see {self._folder.logs / 'redis.log'}")

    def _set_redis_data_aside(self) -> None:
        aside = self._folder.redis.with_name(f"redis-damaged-{int(time.time())}")
        log.warning("Redis does not start: its data is set aside in %s", aside)
        self._folder.redis.rename(aside)
        self._folder.redis.mkdir(mode=0o700)

    def _control(self, broker_url: str, runtime: Path) -> Program:
        places = {
            "BLENDNET_DATA": str(self._folder.root),
            "BLENDNET_BROKER_URL": broker_url,
            "TMPDIR": str(runtime),
        }
        if self._outside:
            places |= {
                "BLENDNET_BROKER_USER": MANAGER,
                "BLENDNET_BROKER_PASSWORD_FILE": str(self._outside.password_file),
            }
        return Program(
            name=CONTROL,
            role=CONTROL,
            command=[sys.executable, "-m", CONTROL_MODULE],
            environment={**os.environ, **places},
            log=self._folder.logs / "control.log",
        )

    def _child_ended(self, program: Program, _status: int) -> None:
        """Give an agent's work to others at once; let a Redis that keeps ending start without its data."""
        if program.role == "agent" and self._core:
            self._core.farm.agent_lost(program.name, time.time())
        elif program.role == REDIS and self._core:
            now = time.monotonic()
            if now - self._redis_ended_at < REDIS_STABLE_S:
                self._set_redis_data_aside()
            self._redis_ended_at = now

    def _watch_lifeline(self) -> None:
        """Wait until whoever started us is gone, and after that until nobody uses the farm."""
        while os.read(sys.stdin.fileno(), 4096):
            continue
        log.info("whoever started the farm is gone: it ends with its last user")
        while not self._folder.keep_users_out():
            if self._stopping.wait(USERS_POLL_S):
                return
        self.stop()


def _stays_alive(supervisor: Supervisor) -> Callable[[], bool]:
    """A function that tells whether Redis is still the process it was now."""
    first = supervisor.wanted(REDIS).get(REDIS)
    return lambda: first is not None and supervisor.wanted(REDIS).get(REDIS) == first


def _log_into(folder: DataFolder) -> None:
    """What systemd's journal gets also goes into the farm's own log, which an owner can read from afar."""
    folder.create()
    handler = logging.FileHandler(folder.service_log)
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    logging.getLogger().addHandler(handler)


def main(arguments: list[str] | None = None) -> int:
    """Run a farm on the data folder of the settings; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m blendnet.manager.service", description=__doc__)
    parser.add_argument("--agents", type=int, default=1, help="agents to start")
    parser.add_argument("--lifeline", action="store_true", help="end when stdin reaches its end")
    options = parser.parse_args(arguments)
    settings = get_settings()
    folder = DataFolder(settings.data)
    logging.basicConfig(level=settings.log_level, format=LOG_FORMAT)
    try:
        if settings.manager_cloud:
            from blendnet.manager.sent_settings import with_sent

            _log_into(folder)
            settings = with_sent(settings)
        settings = settings.model_copy(update={"data": folder.root})
        service = Service(folder, settings, agents=options.agents, private=options.lifeline)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, service.stop)
        service.run()
    except BlendNetError as error:
        print(f"Error: {error}", file=sys.stderr)  # noqa: T201 - the command line that started us reads it in the log
        return EXIT_TAKEN if isinstance(error, Conflict) else EXIT_FAILED
    return EXIT_MACHINE if service.machine_ends else 0


if __name__ == "__main__":
    exit_status = main()
    logging.shutdown()
    # Everything is closed. Celery's finalizers would look for the ended Redis for 20 seconds.
    os._exit(exit_status)
