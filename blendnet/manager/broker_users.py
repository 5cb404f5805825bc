"""The users of a Redis that other machines reach: in the file it reads when it starts, and in the running server."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from pathlib import Path

import redis

from blendnet.errors import Retryable
from blendnet.manager.broker import Outside
from blendnet.security import broker_acl
from blendnet.security.credentials import read_password
from blendnet.security.private_files import write_private

log = logging.getLogger(__name__)

ANSWER_TIMEOUT_S = 5.0


class BrokerUsers:
    """Keeps file and server as the ledger says. Thread-safe."""

    def __init__(self, socket_path: Path, outside: Outside, *, local_password_file: Path) -> None:
        self._socket_path = socket_path
        self._file = outside.acl_file
        self._password_file = outside.password_file
        self._local_password_file = local_password_file
        self._agents: dict[str, str] = {}
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

    def let_in(self, agents: Mapping[str, str]) -> None:
        """Let agents in; `agents`: name -> hash of the password. Raises Retryable when Redis does not answer."""
        with self._changing:
            before = dict(self._agents)
            self._agents |= agents
            self.write()
            try:
                with self._server() as server:
                    for name, password_hash in agents.items():
                        server.execute_command("ACL DELUSER", name)  # Cuts off who used the name before.
                        server.execute_command("ACL SETUSER", name, *broker_acl.agent_rules(name, password_hash))
            except redis.RedisError as error:
                self._agents = before
                self.write()
                raise Retryable(f"Redis does not take up new users now: {error}") from error

    def shut_out(self, name: str) -> None:
        """Cut an agent off, and forget what it had taken: the ledger gives that to others.

        A Redis that does not answer now does not let it in when it starts again.
        """
        with self._changing:
            self._agents.pop(name, None)
            self.write()
            try:
                with self._server() as server:
                    server.execute_command("ACL DELUSER", name)
                    server.delete(*broker_acl.own_keys(name))
            except redis.RedisError as error:
                log.warning("agent %s is shut out of Redis when that starts again: %s", name, error)

    def _server(self) -> redis.Redis:
        return redis.Redis(
            unix_socket_path=str(self._socket_path),
            username=broker_acl.MANAGER,
            password=read_password(self._password_file),
            socket_timeout=ANSWER_TIMEOUT_S,
        )
