"""The parts of a farm that live in its service process: ledger, store, logins, API and the loop that hands out work."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from blendnet import __version__
from blendnet.celery_app import make_app
from blendnet.errors import BlendNetError, FarmError, Retryable
from blendnet.manager.api import make_api
from blendnet.manager.api_server import ApiServer
from blendnet.manager.autoscale.make import make_leftovers, make_loop
from blendnet.manager.background import Background
from blendnet.manager.bookkeeper import Bookkeeper
from blendnet.manager.broker import SOCKET_NAME, Outside
from blendnet.manager.dispatch import Dispatcher
from blendnet.manager.expiry import Expiry
from blendnet.manager.fleet import KeptAgents, LocalFleet
from blendnet.manager.folder import DataFolder, FarmFile
from blendnet.manager.headquarters import Headquarters
from blendnet.manager.jobs import Farm, open_farm
from blendnet.manager.joining import Joining
from blendnet.manager.merges import CONTROL
from blendnet.manager.publish import Publisher
from blendnet.manager.reconcile import Reconciler
from blendnet.manager.supervise import Supervisor
from blendnet.manager.tails import TailPlanner
from blendnet.models import State
from blendnet.provision.local import AgentEnvironment, LocalProvider
from blendnet.security.broker_acl import LOCAL_AGENTS, MANAGER
from blendnet.security.ca import ServerCertificate, ensure_server_certificate
from blendnet.security.credentials import AGENT, OWNER, PASSWORD_FILES, ensure_credentials
from blendnet.settings import BrokerLogin, Settings, store_folder

log = logging.getLogger(__name__)

API_START_TIMEOUT_S = 20.0
REST_FACTOR = 2
REST_MAX_S = 0.2
"""After a tick the loop rests so many times as long as it took, but not longer: where something changes all the time,
requests get the processor, too."""
TROUBLE_PAUSE_S = 1.0
"""Pause after a tick that failed, so that a lasting fault does not fill the log."""


class Core:
    """Everything of a farm but its child processes."""

    def __init__(
        self,
        settings: Settings,
        folder: DataFolder,
        supervisor: Supervisor,
        *,
        broker_url: str,
        runtime: Path,
        stop: Callable[[], None],
        outside: Outside | None = None,
    ) -> None:
        """Open the ledger and bind the API's port. `stop()` is called when a client ends the farm.

        `runtime`: folder of sockets and temporary files, removed when the farm ends. `outside`: how Redis serves other
        machines, if it does.

        Raises:
            FarmError: the port cannot be bound, the ledger, the logins or the store cannot be used.
        """
        self._settings = settings
        self._folder = folder
        self._broker_url = broker_url
        self._runtime = runtime
        self._security = folder.security
        self._outside = outside
        self._certificate = outside.certificate if outside else self._own_certificate()
        users = ensure_credentials(self._security, owner_hash=settings.owner_hash)
        self.farm = open_farm(settings)
        self.farm.open_books()
        self.farm.store.prepare()
        self.fleet = LocalFleet(farm=self.farm, supervisor=supervisor, logs=folder.logs, clock=time.time, stop=stop)
        login = BrokerLogin(MANAGER, outside.password_file) if outside else None
        app = make_app(broker_url, settings.visibility_timeout_s, login)
        self._joining = self._make_joining(outside) if outside else None
        self._expiry = Expiry(self._joining, lifetime_s=settings.agent_certificate_s) if self._joining else None
        self._headquarters = Headquarters(
            self.farm,
            self.fleet,
            security=self._security,
            port=settings.api_port,
            renewed=lambda: self._server.renew(),
            outside=outside is not None,
        )
        api = make_api(
            self.farm,
            self.farm.store,
            users,
            settings,
            self.fleet,
            broker_url=broker_url,
            queued=Publisher(app).queued_ids,
            joining=self._joining,
            attendance=self._headquarters.attendance,
        )
        self._server = ApiServer(
            api,
            self._certificate,
            host=settings.api_host,
            port=settings.api_port,
            idle_timeout_s=settings.request_idle_timeout_s,
            agents_certificates=outside is not None,
        )
        local = LocalProvider(KeptAgents(supervisor), self._agent_environment())
        self.fleet.use(local)
        self.fleet.loop = make_loop(self.farm, local, self._joining, farm_label=folder.label(), logs=folder.logs)
        self.fleet.leftovers = make_leftovers(self.farm, self._joining, self.fleet.loop, farm_label=folder.label())
        reconciler = Reconciler(self.farm, app, settings, restart_control=lambda: supervisor.restart(CONTROL))
        self._keeper = Bookkeeper(self.farm)
        self._loop = WorkLoop(self.farm, Dispatcher(self.farm, app, settings), reconciler)
        self._api_thread = threading.Thread(target=self._server.run, name="api", daemon=True)

    def start(self) -> None:
        """Answer requests and hand out work.

        Raises:
            FarmError: the API does not start.
            Retryable: Redis does not take up the agents that have joined.
        """
        if self._joining:
            self._joining.start()
        self._keeper.start()  # First: whoever asks for work finds what caps allow.
        self._api_thread.start()
        deadline = time.monotonic() + API_START_TIMEOUT_S
        while not self._server.started:
            if not self._api_thread.is_alive() or time.monotonic() > deadline:
                raise FarmError(f"the API does not start: see {self._folder.service_log}")
            time.sleep(0.005)
        self._loop.start()
        if self.fleet.loop:
            self.fleet.loop.start()
        self._headquarters.start()
        if self._expiry:
            self._expiry.start()
        if self.fleet.leftovers:
            self.fleet.leftovers.start()

    def stop(self) -> None:
        """End what `start` started; requests in progress get a moment."""
        self.stop_fleet()
        self._loop.stop()
        self._server.stop()
        if self._api_thread.is_alive():
            self._api_thread.join()
        self._headquarters.stop()
        if self._expiry:
            self._expiry.stop()
        self._keeper.stop()
        try:
            self.farm.close_books(time.time())
        except BlendNetError as error:
            log.warning("the last costs are not written down: %s", error)
        self.farm.ledger.close()

    def stop_fleet(self) -> None:
        """No more machines come or go, and no more jobs. Machines of a cloud stay as they are."""
        self.farm.ending = True
        if self.fleet.leftovers:
            self.fleet.leftovers.stop()
        if self.fleet.loop:
            self.fleet.loop.stop()

    def farm_file(self, *, pid: int, private: bool) -> FarmFile:
        """What others need to find this farm."""
        return FarmFile(
            url=self._server.url,
            ca=str(self._certificate.ca),
            user=OWNER,
            password_file=str(self._security / PASSWORD_FILES[OWNER]),
            broker_url=self._broker_url,
            pid=pid,
            runtime=str(self._runtime),
            private=private,
            version=__version__,
            broker_user=MANAGER if self._outside else "",
            broker_password_file=str(self._outside.password_file) if self._outside else "",
            listen=self._settings.listen,
        )

    def pause_jobs(self) -> None:
        """Pause what is unfinished: nobody waits for it, until somebody resumes it."""
        now = time.time()
        for job in self.farm.jobs():
            if not job.state.final and job.state is not State.PAUSED:
                self.farm.pause(job.id, now)
                log.info("job %s is paused: the command that rendered it is gone", job.id)

    def _own_certificate(self) -> ServerCertificate:
        return ensure_server_certificate(self._security, [self._settings.api_host])

    def _make_joining(self, outside: Outside) -> Joining:
        from blendnet.manager.outside import public_url, users

        return Joining(
            self.farm,
            users(self._runtime / SOCKET_NAME, outside, self._security),
            security=self._security,
            url=public_url(self._settings, self._settings.api_port),
            local_agents=self.fleet.names,
        )

    def _agent_environment(self) -> AgentEnvironment:
        return AgentEnvironment(
            data=self._folder.root,
            manager_url=self._server.url,
            manager_ca=self._certificate.ca,
            manager_user=AGENT,
            manager_password_file=self._security / PASSWORD_FILES[AGENT],
            broker_url=self._broker_url,
            broker_user=LOCAL_AGENTS if self._outside else "",
            temporary=self._runtime,
            local_store_dir=store_folder(self._settings),
        )


class WorkLoop(Background):
    """Lets dispatcher and reconciler do their work, in a thread of its own: at each change and at the interval of the
    reconciler."""

    def __init__(self, farm: Farm, dispatcher: Dispatcher, reconciler: Reconciler) -> None:
        super().__init__("work")
        self._changes = farm.changes
        self._interval_s = farm.settings.reconcile_interval_s
        self._dispatcher = dispatcher
        self._reconciler = reconciler
        self._tails = TailPlanner(farm)

    def _wake(self) -> None:
        self._changes.note()

    def _run(self) -> None:
        while not self._stopping.is_set():
            seen, started = self._changes.count, time.monotonic()
            if self._tick():
                self._stopping.wait(min(REST_MAX_S, REST_FACTOR * (time.monotonic() - started)))
                self._changes.wait(seen, self._interval_s)
            else:
                self._stopping.wait(TROUBLE_PAUSE_S)

    def _tick(self) -> bool:
        """One round; False when it failed."""
        try:
            self._reconciler.tick(time.time())
            self._dispatcher.tick(time.time())
            self._tails.tick(time.time())
        except (RedisError, OperationalError) as error:
            log.warning("Redis is away, nothing is handed out: %s", error)
            return False
        except Retryable as error:
            log.warning("nothing is handed out: %s", error)
            return False
        except Exception:
            # Whatever it was, the farm has to go on handing out work.
            log.exception("while handing out work")
            return False
        return True
