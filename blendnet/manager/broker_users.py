"""The users of a Redis that other machines reach: in the file it reads when it starts, and in the running server."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Collection, Mapping
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from blendnet.errors import Retryable
from blendnet.manager.broker import Outside
from blendnet.security import broker_acl
from blendnet.security.credentials import read_password
from blendnet.security.private_files import write_private

log = logging.getLogger(__name__)

ANSWER_TIMEOUT_S = 2.0
"""Well below a lease: a join waits for Redis while the ledger is locked."""


class BrokerUsers:
    """Keeps file and server as the ledger says. Thread-safe.

    A server that does not answer now is owed what it should have been told, until `settle` has told it.
    """

    def __init__(self, socket_path: Path, outside: Outside, *, local_password_file: Path) -> None:
        self._socket_path = socket_path
        self._file = outside.acl_file
        self._password_file = outside.password_file
        self._local_password_file = local_password_file
        self._agents: dict[str, str] = {}
        self._owed: dict[str, bool] = {}
        """Names that the server may hold otherwise than the file; True: what they had taken is to be forgotten."""
        self._changing = threading.Lock()
        self.port = outside.port

    def write(self) -> None:
        """Write the file: the farm's own users, and the agents that are known by now."""
        text = broker_acl.acl_file(
            manager_hash=broker_acl.password_hash(read_password(self._password_file)),
            local_hash=broker_acl.password_hash(read_password(self._local_password_file)),
            agents=self._agents,
        )
        write_private(self._file, text.encode())

    def knows(self, name: str) -> bool:
        """Whether an agent is let in."""
        return name in self._agents

    def check_answers(self) -> None:
        """Raise Retryable unless Redis answers now."""
        try:
            with self._server() as server:
                server.ping()
        except redis.RedisError as error:
            raise _takes_nobody(error) from error

    def let_in(self, agents: Mapping[str, str]) -> None:
        """Let agents in; `agents`: name -> hash of the password. Raises Retryable when Redis does not answer."""
        with self._changing:
            before = dict(self._agents)
            self._agents |= agents
            try:
                self._tell(agents)
            except (redis.RedisError, OSError) as error:
                self._agents = before
                for name in agents:  # Redis may have read it, and do it yet.
                    self._owed.setdefault(name, False)
                with contextlib.suppress(OSError):  # Written again with what is owed.
                    self.write()
                raise _takes_nobody(error) from error

    def forget(self, name: str) -> None:
        """An agent is to be cut off, and what it had taken to be forgotten: the ledger gives that to others.

        Waits for no answer: `settle` tells Redis.
        """
        with self._changing:
            self._agents.pop(name, None)
            self._owed[name] = True

    def settle(self) -> None:
        """Tell Redis what it has not been told yet. Raises Retryable while that fails: call it again."""
        with self._changing:
            if not self._owed:
                return
            names = ", ".join(self._owed)
            try:
                self._tell(list(self._owed))
            except (redis.RedisError, OSError) as error:
                raise Retryable(f"Redis may still let in {names}: {error}") from error
            log.info("Redis has been told about %s", names)

    def _tell(self, names: Collection[str]) -> None:
        """Make file and server as they should be for these. Raises RedisError, OSError: then it is not certain."""
        try:
            self.write()
        finally:  # A full disk keeps nobody in.
            self._change(names)
        for name in names:
            self._owed.pop(name, None)

    def _change(self, names: Collection[str]) -> None:
        with self._server() as server, server.pipeline(transaction=False) as commands:
            for name in names:
                commands.execute_command("ACL DELUSER", name)  # Cuts off who used the name before.
                if name in self._agents:
                    rules = broker_acl.agent_rules(name, self._agents[name])
                    commands.execute_command("ACL SETUSER", name, *rules)
                if self._owed.get(name):
                    commands.delete(*broker_acl.own_keys(name))
            commands.execute()

    def _server(self) -> redis.Redis:
        return redis.Redis(
            unix_socket_path=str(self._socket_path),
            username=broker_acl.MANAGER,
            password=read_password(self._password_file),
            socket_timeout=ANSWER_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),  # By itself it tries for a minute.
        )


def _takes_nobody(error: Exception) -> Retryable:
    return Retryable(f"Redis does not take up new users now: {error}")
