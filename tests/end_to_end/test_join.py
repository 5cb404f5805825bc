"""Another machine, played by this one: it joins by token, renders, comes back without one, and is shut out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.end_to_end import farms

pytestmark = pytest.mark.end_to_end
PATIENCE_S = 300.0
NAME = "workstation"


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A farm that renders nothing on its own machine."""
    data = tmp_path_factory.mktemp("manager") / "data"
    with farms.running(data, agents=0, listen="127.0.0.1", gone_after_s=60.0) as running:
        yield running


@pytest.fixture(scope="module")
def token(farm: Path) -> Any:
    made = farms.blendnet("agent", "token", "--valid", "10m", "--data", farm, "--json")
    assert made.code == 0, made.err
    return made.json


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the agent, elsewhere than the farm's."""
    return tmp_path_factory.mktemp("workstation") / "agent"


@contextmanager
def machine(home: Path, *arguments: str, stdin: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """`blendnet agent run`; it and all below it have ended when the block has."""
    command = [str(Path(sys.executable).with_name("blendnet")), "agent", "run", "--dir", str(home), *arguments]
    home.parent.mkdir(exist_ok=True)
    with (home.parent / "log").open("ab") as log:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log) as process:
            assert process.stdin
            process.stdin.write(stdin.encode())
            process.stdin.close()
            try:
                yield process
            finally:
                process.terminate()
                process.wait(60)
    farms.wait_until(lambda: not farms.processes_mentioning(home), "everything of the agent ended")


def log_of(home: Path) -> str:
    return (home.parent / "log").read_text()


def wait_for_it(farm: Path, what: str) -> None:
    """Wait until the machine is an agent that could work."""
    with farms.client(farm) as client:
        farms.wait_until(lambda: "idle" in [one.state for one in client.agents() if one.name == NAME], what)


def secrets_of(home: Path, token: Any) -> list[str]:
    return [token["token"], (home / "broker-password").read_text().strip()]


def test_machine_joins_renders_comes_back_and_is_shut_out(
    farm: Path, token: Any, home: Path, example: Path, tmp_path: Path
) -> None:
    known = ["--join", token["url"], "-", "--ca-sha256", token["ca_sha256"], "--name", NAME]
    with machine(home, *known, stdin=token["token"] + "\n") as process:
        wait_for_it(farm, "the machine is an agent")
        submitted = farms.blendnet("job", "submit", example, "--data", farm, "--json")
        assert submitted.code == 0, submitted.err
        job = submitted.json["job"]
        waited = farms.blendnet("job", "wait", job, "--data", farm, timeout_s=PATIENCE_S)
        assert waited.code == 0, waited.err + log_of(home)
        got = farms.blendnet("job", "download", job, "--data", farm, "--output", tmp_path)
        assert got.code == 0, got.err
        assert len(list(tmp_path.glob("*_merged.exr"))) == 2
        assert_secrets_are_nowhere(process, secrets_of(home, token), [farm / "logs", home.parent / "log"])

    with machine(home) as process:
        wait_for_it(farm, "it is an agent again, without a token")
        revoked = farms.blendnet("agent", "revoke", NAME, "--data", farm)
        assert revoked.code == 0, revoked.err
        assert process.wait(60) == 1
    assert f"agent {NAME} may not work for this farm any more" in log_of(home)

    with machine(home) as process:
        assert process.wait(60) == 1
    farms.blendnet("down", "--data", farm)
    started = farms.blendnet("up", "--agents", "0", "--listen", "127.0.0.1", "--data", farm)
    assert started.code == 0, started.err
    assert farms.blendnet("status", "--data", farm, "--json").json["manager"]["url"] == token["url"]
    with machine(home) as process:
        assert process.wait(60) == 1
    used = farms.blendnet("agent", "run", *known[:2], token["token"], *known[3:], "--dir", home)
    assert (used.code, "used already" in used.err) == (1, True)


def assert_secrets_are_nowhere(process: subprocess.Popen[bytes], secrets: list[str], logs: list[Path]) -> None:
    """Neither on a command line, nor in an environment, nor in a log."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    assert len(family) >= 3
    said = [" ".join(one.cmdline()) + " ".join(one.environ().values()) for one in family]
    files = [path for log in logs for path in ([log] if log.is_file() else log.rglob("*")) if path.is_file()]
    said += [path.read_text("utf-8", "replace") for path in files]
    assert [secret for secret in secrets for text in said if secret in text] == []


def test_ctrl_c_ends_the_agent_once_and_in_peace(farm: Path, tmp_path: Path) -> None:
    made = farms.blendnet("agent", "token", "--name", "laptop", "--data", farm, "--json").json
    home = tmp_path / "agent"
    (tmp_path / "token").write_text(made["token"])
    known = ["--join", made["url"], f"@{tmp_path / 'token'}", "--ca", str(farm / "security" / "ca.crt")]
    with machine(home, *known) as process:
        with farms.client(farm) as client:
            farms.wait_until(lambda: "laptop" in [one.name for one in client.agents()], "it joined")
        started = time.monotonic()
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(60) == 0
        assert time.monotonic() - started < 30
    states = {one["name"]: one["state"] for one in farms.blendnet("agent", "list", "--data", farm, "--json").json}
    assert states["laptop"] == "stopped"


def test_agent_that_renews_no_more_is_cut_off_from_redis(tmp_path: Path) -> None:
    data, home = tmp_path / "data", tmp_path / "machine" / "agent"
    options = ["--agents", "0", "--listen", "127.0.0.1", "--data", data]
    started = farms.blendnet("up", *options, BLENDNET_AGENT_CERTIFICATE_S="10")
    assert started.code == 0, started.err
    try:
        made = farms.blendnet("agent", "token", "--name", "frozen", "--data", data, "--json").json
        known = ["--join", made["url"], "-", "--ca-sha256", made["ca_sha256"]]
        users = data / "security" / "redis.acl"
        with machine(home, *known, stdin=made["token"] + "\n") as process:
            farms.wait_until(lambda: "user frozen " in users.read_text(), "it is let in")
            process.send_signal(signal.SIGSTOP)  # Its worker goes on.
            try:
                farms.wait_until(lambda: "user frozen " not in users.read_text(), "it is cut off")
            finally:
                process.send_signal(signal.SIGCONT)
            assert process.wait(60) == 1
        assert "any more" in log_of(home)
    finally:
        farms.blendnet("down", "--data", data)
