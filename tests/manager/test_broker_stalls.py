"""A Redis that stalls while its users change: nobody waits long for it, and it is told later what it missed."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import redis

from blendnet.errors import Retryable
from blendnet.manager import broker_users, expiry
from blendnet.manager.expiry import Expiry
from blendnet.manager.joining import LAST_MOMENT_S
from blendnet.security import agents
from blendnet.security.broker_acl import own_keys, password_hash
from tests.manager.joined import OpenFarm, farm, one, report
from tests.manager.served import wait_until
from tests.manager.test_joining import broker_login

__all__ = ["farm", "one"]

LIMIT_S = 20.0


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer is waited for only shortly."""
    monkeypatch.setattr(broker_users, "ANSWER_TIMEOUT_S", 0.2)


def process_of(farm: OpenFarm) -> psutil.Process:
    with farm.redis.manager() as manager:
        return psutil.Process(manager.info("server")["process_id"])


def stall(process: psutil.Process) -> None:
    os.kill(process.pid, signal.SIGSTOP)
    wait_until(lambda: process.status() == psutil.STATUS_STOPPED, LIMIT_S)


@contextmanager
def stalled(farm: OpenFarm) -> Iterator[None]:
    process = process_of(farm)
    try:
        stall(process)
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


@contextmanager
def stalled_after_the_greeting(farm: OpenFarm, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Redis reads what it is told only once it goes on, and does it then."""
    process, server = process_of(farm), farm.redis.users._server

    def then_stall() -> redis.Redis:
        client = server()
        client.ping()
        stall(process)
        return client

    try:
        with monkeypatch.context() as patch:
            patch.setattr(farm.redis.users, "_server", then_stall)
            yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


@contextmanager
def watched(farm: OpenFarm, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """With somebody who settles what is owed: seldom by himself, often as long as something is."""
    monkeypatch.setattr(expiry, "SETTLE_S", 0.05)
    watch = Expiry(farm.joining, lifetime_s=86_400.0)
    watch.start()
    try:
        yield
    finally:
        watch.stop()


def users(farm: OpenFarm) -> list[str]:
    with farm.redis.manager() as manager:
        return manager.acl_users()


def end_of(farm: OpenFarm, name: str) -> float:
    identity = agents.read_identity(farm.folder(name).certificate)
    assert identity
    return identity.expires_at + LAST_MOMENT_S + 1


def asked_of(farm: OpenFarm, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows whenever the Manager turns to Redis."""
    asked, server = [], farm.redis.users._server

    def noted() -> redis.Redis:
        asked.append(1)
        return server()

    monkeypatch.setattr(farm.redis.users, "_server", noted)
    return asked


# --- what Redis was not told


def test_agent_revoked_during_a_stall_is_out_once_redis_goes_on(
    farm: OpenFarm, soon: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    farm.join("thief")
    taken = own_keys("thief")[0]
    with farm.redis.client(broker_login(farm, "thief")) as broker, farm.redis.manager() as manager:
        broker.hset(taken, "tag", "message")
        with watched(farm, monkeypatch):
            with stalled(farm), farm.owner() as owner:
                owner.revoke_agent("thief")
                assert "thief is revoked, but Redis still has to be told" in caplog.text
            wait_until(lambda: "thief" not in users(farm), LIMIT_S)
        with pytest.raises((redis.ConnectionError, redis.AuthenticationError)):
            broker.ping()
        assert not manager.exists(taken)


def test_agent_that_expires_during_a_stall_is_out_once_redis_goes_on(farm: OpenFarm, soon: None) -> None:
    farm.join("stale")
    now = end_of(farm, "stale")
    with stalled(farm), pytest.raises(Retryable, match="may still let in stale"):
        farm.joining.cut_expired(now)
    assert "stale" in users(farm)
    farm.joining.cut_expired(now)
    assert "stale" not in users(farm)


def test_agent_that_joins_anew_after_a_stall_stays_in(farm: OpenFarm, soon: None) -> None:
    farm.join("forgiven")
    taken = own_keys("forgiven")[0]
    with farm.redis.manager() as manager:
        manager.hset(taken, "tag", "message")
        with stalled(farm), farm.owner() as owner:
            owner.revoke_agent("forgiven")
        farm.join("forgiven", farm.token(name="forgiven"), folder="anew")
        assert not manager.exists(taken)
        farm.joining.settle()
        assert "forgiven" in manager.acl_users()


def test_agent_that_redis_takes_up_too_late_is_out_again(
    farm: OpenFarm, soon: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stalled_after_the_greeting(farm, monkeypatch), pytest.raises(Retryable, match="does not take up new users"):
        farm.redis.users.let_in({"late": password_hash("late")})
    assert not farm.redis.users.knows("late")
    wait_until(lambda: "late" in users(farm), LIMIT_S)
    farm.joining.settle()
    assert "late" not in users(farm)


def test_agent_that_is_replaced_too_late_gets_its_own_password_back(
    farm: OpenFarm, soon: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm.join("kept")
    with farm.redis.manager() as manager:
        before = manager.acl_getuser("kept")
        assert before
        with stalled_after_the_greeting(farm, monkeypatch), pytest.raises(Retryable):
            farm.redis.users.let_in({"kept": password_hash("another")})
        wait_until(lambda: manager.acl_getuser("kept") != before, LIMIT_S)
    farm.joining.settle()
    with farm.redis.client(broker_login(farm, "kept")) as broker:
        assert broker.ping()


def test_full_disk_keeps_no_revoked_agent_in(farm: OpenFarm, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise OSError("no space left")

    farm.join("lucky")
    with farm.owner() as owner, monkeypatch.context() as patch:
        patch.setattr(farm.redis.users, "write", full)
        owner.revoke_agent("lucky")
    assert "lucky" not in users(farm)
    farm.joining.settle()
    assert "user lucky " not in (farm.redis.folder.security / "redis.acl").read_text()


# --- who waits for Redis


def joins(farm: OpenFarm) -> Callable[[], object]:
    token = farm.token()
    return lambda: farm.join("waits", token)


def expires(farm: OpenFarm) -> Callable[[], object]:
    farm.join("ends")
    now = end_of(farm, "ends")
    return lambda: farm.joining.cut_expired(now)


@pytest.mark.parametrize("begun", [joins, expires])
def test_other_agents_do_not_wait_for_redis(
    farm: OpenFarm, one: str, monkeypatch: pytest.MonkeyPatch, begun: Callable[[OpenFarm], Callable[[], object]]
) -> None:
    monkeypatch.setattr(broker_users, "ANSWER_TIMEOUT_S", 3 * LIMIT_S)
    call = begun(farm)
    asked = asked_of(farm, monkeypatch)
    with farm.agent(one) as client, ThreadPoolExecutor(1) as pool:
        report(client, one)
        with stalled(farm):
            waits = pool.submit(call)
            wait_until(lambda: asked, LIMIT_S)
            report(client, one)
            assert not waits.done()
        waits.result()


def test_redis_that_does_not_answer_is_asked_once(farm: OpenFarm, soon: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as silent:
        path = Path(folder) / "silent"
        silent.bind(str(path))
        silent.listen()
        with monkeypatch.context() as patch:
            patch.setattr(farm.redis.users, "_socket_path", path)
            with pytest.raises(Retryable):
                farm.redis.users.let_in({"unheard": password_hash("unheard")})
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()
    farm.joining.settle()


def test_start_waits_for_a_redis_that_stalls(farm: OpenFarm, soon: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asked_of(farm, monkeypatch)
    thread = threading.Thread(target=farm.joining.start)
    with stalled(farm):
        thread.start()
        wait_until(lambda: len(asked) > 1, LIMIT_S)
        assert thread.is_alive()
    thread.join()
    assert not farm.redis.users._owed
