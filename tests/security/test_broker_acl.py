"""What agents may do at Redis: all that a real worker says there, and nothing that it does not say.

A real worker works under the rules while everything it says is recorded. What was recorded is then said again
(ACL DRYRUN) under rules from which one command, pattern or channel is missing: each time something is refused.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from blendnet.manager.publish import Publisher
from blendnet.security.broker_acl import Grant, agent_grants, agent_rules, own_keys
from blendnet.settings import BrokerLogin
from tests.security.outside_redis import AT_ONCE, OutsideRedis, outside_redis

NAME, OTHER = "a1", "a2"
LIMIT_S = 60.0
ALWAYS_ALLOWED = ("AUTH", "HELLO", "QUIT", "RESET")
"""Commands that Redis allows everybody."""
CONTENT_AT = {"PUBLISH": 2, "SCRIPT": 2, "LPUSH": 2, "RPUSH": 2, "HSET": 3, "SETEX": 3}
"""Place of the argument that is content, and may hold spaces."""


def until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + LIMIT_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {LIMIT_S:.0f} s: {what}"
        time.sleep(0.05)
    return value


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OutsideRedis]:
    with outside_redis(tmp_path_factory.mktemp("outside")) as running:
        yield running


@pytest.fixture(scope="module")
def login(server: OutsideRedis) -> BrokerLogin:
    server.login(OTHER)
    return server.login(NAME)


class Recorder:
    """Everything that is said to a server from outside, by way of scripts too."""

    def __init__(self, server: OutsideRedis) -> None:
        self._client = server.manager()
        self._monitor = self._client.monitor()
        self.lines: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._listen)

    def __enter__(self) -> Recorder:
        self._monitor.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._client as client:
            client.set("recorder", "ends")
            self._thread.join()
            client.delete("recorder")
        self._monitor.__exit__(None, None, None)

    def _listen(self) -> None:
        for line in self._monitor.listen():
            if line["command"].startswith("SET recorder"):
                return
            self.lines.append(line)

    def said_outside(self) -> list[str]:
        """Commands in order, those of a script behind the one that called it; each once."""
        said, from_outside = {}, False
        for line in self.lines:
            if line["client_type"] != "lua":
                from_outside = line["client_type"] == "tcp"
            if from_outside:
                said[line["command"]] = None
        return list(said)


@pytest.fixture(scope="module")
def said(server: OutsideRedis, login: BrokerLogin) -> list[list[str]]:
    """What a worker says from its start to its end, in all that can happen to it; argument by argument."""
    app = server.app()
    publish = Publisher(app)
    with server.manager() as manager, Recorder(server) as recorder:
        manager.execute_command("ACL LOG", "RESET")
        with server.worker(login):
            until(lambda: manager.pubsub_numpat() > 0, "the worker listens")
            publish.chord(frame("f1", ["c1", "c2"]))
            publish.chord(frame("f2", ["fails"]))
            publish.chunk(chunk("alone"))
            publish.chunk(chunk("gives-back"))
            publish.chunk(chunk("takes-long"))
            until(lambda: not_refused(manager) and manager.llen("control") >= 4, "merges are asked for")
            replies = app.control.inspect(timeout=LIMIT_S, limit=1).ping()
            assert [name.partition("@")[0] for name in replies or {}] == [NAME]
            until(lambda: not_refused(manager) and not manager.zcard(own_keys(NAME)[1]), "everything is acknowledged")
        assert not_refused(manager)
    app.close()
    return [words(line) for line in recorder.said_outside()]


def not_refused(manager: redis.Redis) -> bool:
    """True. Fails with what was refused to anybody by now, if anything was."""
    refused = [f"{entry['client-info']['cmd']}: {entry['reason']} {entry['object']}" for entry in manager.acl_log()]
    assert refused == []
    return True


def frame(frame_id: str, chunks: list[str]) -> Any:
    return SimpleNamespace(frame_id=frame_id, epoch=1, lane=0, chunks=chunks)


def chunk(chunk_id: str) -> Any:
    return SimpleNamespace(id=chunk_id, place=-1, frame_id="f3", epoch=1)


def words(line: str) -> list[str]:
    """Arguments of a recorded command, as many as a rule looks at. Contents are of no interest to it."""
    found = line.split(" ", CONTENT_AT.get(line.partition(" ")[0].upper(), -1))
    return [word.encode("latin-1").decode("unicode_escape") for word in found]


def refusals(server: OutsideRedis, said: list[list[str]], grants: tuple[Grant, ...]) -> set[str]:
    """Commands of `said` that an agent with these grants may not say."""
    with server.manager() as manager:
        manager.execute_command("ACL SETUSER", "tried", *agent_rules(NAME, "0" * 64, grants))
        with manager.pipeline(transaction=False) as pipe:
            for command in said:
                pipe.execute_command("ACL DRYRUN", "tried", *command)
            answers = pipe.execute(raise_on_error=False)
    for answer in answers:
        assert not isinstance(answer, Exception) or "wrong number" in str(answer), answer
    return {
        command[0].upper() for command, answer in zip(said, answers, strict=True) if answer not in ("OK", b"OK")
    } - set(ALWAYS_ALLOWED)


def parts() -> list[Any]:
    """Every command, key pattern and channel of every grant: (grant, field, entry)."""
    return [
        pytest.param(place, field, entry, id=f"{place}-{entry}")
        for place, grant in enumerate(agent_grants(NAME))
        for field in ("commands", "keys", "channels")
        for entry in getattr(grant, field)
    ]


def without(place: int, field: str, entry: str) -> tuple[Grant, ...]:
    """The grants of an agent but for one entry."""
    grants = list(agent_grants(NAME))
    left = tuple(kept for kept in getattr(grants[place], field) if kept != entry)
    grants[place] = dataclasses.replace(grants[place], **{field: left})
    return tuple(grants)


@pytest.mark.thorough
def test_worker_is_refused_nothing_that_it_says(server: OutsideRedis, said: list[list[str]]) -> None:
    assert len(said) > 100
    assert refusals(server, said, agent_grants(NAME)) == set()


@pytest.mark.thorough
@pytest.mark.parametrize(("place", "field", "entry"), parts())
def test_worker_is_refused_something_without(
    server: OutsideRedis, said: list[list[str]], place: int, field: str, entry: str
) -> None:
    assert refusals(server, said, without(place, field, entry)) != set()


@pytest.mark.parametrize(
    "command",
    [
        ("FLUSHALL",),
        ("FLUSHDB",),
        ("KEYS", "*"),
        ("SCAN", "0"),
        ("CONFIG", "GET", "*"),
        ("ACL", "LIST"),
        ("CLIENT", "LIST"),
        ("CLIENT", "KILL", "USER", "manager"),
        ("MONITOR",),
        ("SHUTDOWN",),
        ("SCRIPT", "FLUSH"),
        ("EVAL", "return redis.call('FLUSHALL')", "0"),
        ("SAVE",),
        ("SELECT", "1"),
        ("DEL", "render.0"),
        ("LRANGE", "render.0", "0", "-1"),
        ("BRPOP", "control", "1"),
        ("LRANGE", "control", "0", "-1"),
        ("DEL", "control"),
        ("RPUSH", "control", "x"),
        ("GET", "celery-task-meta-x"),
        ("HGET", own_keys(OTHER)[0], "x"),
        ("HDEL", own_keys(OTHER)[0], "x"),
        ("ZREM", own_keys(OTHER)[1], "x"),
        ("HGET", "unacked", "x"),
        ("DEL", f"{OTHER}@host.celery.pidbox"),
        ("SMEMBERS", "_kombu.binding.control"),
        ("PUBLISH", "/0.celery.pidbox", "shut down, everybody"),
        ("PSUBSCRIBE", "*"),
        ("PSUBSCRIBE", "/0.celeryev/*"),
    ],
    ids=" ".join,
)
def test_agent_is_refused(server: OutsideRedis, login: BrokerLogin, command: tuple[str, ...]) -> None:
    with server.client(login) as client, server.manager() as manager:
        manager.set("witness", "there")
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*command)
        assert manager.get("witness") == "there"


def test_nobody_is_anybody_without_a_password(server: OutsideRedis, login: BrokerLogin) -> None:
    with redis.Redis(unix_socket_path=str(server.socket), retry=AT_ONCE) as stranger:
        with pytest.raises(redis.exceptions.AuthenticationError):
            stranger.ping()


def test_agent_cannot_be_the_manager_with_its_own_password(server: OutsideRedis, login: BrokerLogin) -> None:
    with server.client(dataclasses.replace(login, user="manager")) as client:
        with pytest.raises(redis.exceptions.AuthenticationError):
            client.ping()
