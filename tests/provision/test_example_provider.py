"""The example of a provider that another package brings: found by its entry point, real, and as the docs print it."""

from __future__ import annotations

import ast
import io
import json
import re
import subprocess
import time
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from blendnet.errors import FarmError
from blendnet.provision.base import CheckState, InstanceState, Offer, Provider, Wanted
from blendnet.provision.registry import provider_names
from tests.provision import example_provider
from tests.provision.contract import Subject, wait_until
from tests.provision.example_provider import EXAMPLE, MODULE, STAYS

LINES = 100
"""Of code, imports among them: an example is to be read in one go."""
NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
DOCS = EXAMPLE.parents[1] / "docs" / "providers.md"
Opener = Callable[..., Provider]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opener]:
    yield from example_provider.opened(tmp_path, monkeypatch)


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own that is nobody's machine."""
    process = subprocess.Popen(["sleep", "600"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def wanted(script: str, *, lifetime_s: float = 600.0) -> Wanted:
    return Wanted(names=["agent-1"], user_data=lambda name: script.format(name=name), lifetime_s=lifetime_s)


def logged(provider: Provider, words: str) -> None:
    """Wait until the machine has said something."""
    wait_until(
        lambda: words in provider.boot_log("agent-1"), f"{words!r} is in the boot log", Subject(provider=provider)
    )


def ended(provider: Provider) -> None:
    """Wait until no machine runs."""
    states = lambda: {instance.state for instance in provider.list()}  # noqa: E731
    wait_until(lambda: states() == {InstanceState.GONE}, "the machine is gone", Subject(provider=provider))


def test_it_is_known_by_its_entry_point(opened: Opener) -> None:
    assert "processes" in provider_names()
    assert opened().name == "processes"


def test_user_data_runs_and_its_words_are_in_the_boot_log(opened: Opener) -> None:
    provider = opened()
    provider.create(wanted("echo I am {name}; exec sleep 600"))
    logged(provider, "I am agent-1")


def test_a_machine_whose_script_ends_is_gone(opened: Opener) -> None:
    provider = opened()
    provider.create(wanted("exit 3"))
    ended(provider)


def test_a_machine_ends_by_itself_after_its_lifetime(opened: Opener) -> None:
    provider = opened()
    started = time.time()
    provider.create(wanted(STAYS, lifetime_s=0.3))
    ended(provider)
    assert time.time() - started >= 0.3


def test_destroying_ends_what_the_script_has_started_too(opened: Opener) -> None:
    provider = opened()
    provider.create(wanted("sleep 600 & echo child $!; wait"))
    logged(provider, "child ")
    child = int(re.search(r"child (\d+)", provider.boot_log("agent-1")).group(1))  # type: ignore[union-attr]
    provider.destroy(["agent-1"])
    ended(provider)
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_a_notice_reaches_the_script(opened: Opener) -> None:
    provider = opened()
    provider.create(wanted("trap 'echo leaving; exit' TERM; echo ready; while :; do sleep 0.02; done"))
    logged(provider, "ready")
    provider.interrupt("agent-1", 2.0)
    logged(provider, "leaving")
    ended(provider)


def test_a_number_that_somebody_else_got_is_not_taken_for_the_machine(
    opened: Opener, stranger: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    provider = opened()
    provider.create(wanted("exit"))
    ended(provider)
    path = tmp_path / "machines" / "farm" / "agent-1" / "machine.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "pid": stranger.pid, "launched_at": 2.5}))
    assert [instance.state for instance in provider.list()] == [InstanceState.GONE]
    provider.destroy(["agent-1"])
    with pytest.raises(subprocess.TimeoutExpired):
        stranger.wait(timeout=0.2)


def test_user_data_is_for_its_owner_alone(opened: Opener, tmp_path: Path) -> None:
    opened().create(wanted(STAYS))
    assert (tmp_path / "machines" / "farm" / "agent-1").stat().st_mode & 0o777 == 0o700


def test_a_machine_that_did_not_come_to_be_is_listed_as_gone(
    opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = opened()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FarmError, match="timeout"):
        provider.create(wanted(STAYS))
    assert [(found.name, found.state) for found in provider.list()] == [("agent-1", InstanceState.GONE)]


def test_price_is_what_its_user_says_and_unknown_otherwise(opened: Opener) -> None:
    offer = Offer("core", "", False)
    assert opened().prices([offer]) == {}
    assert opened(usd_per_vcpu_hour="0.02").prices([offer])[offer].usd_per_hour == pytest.approx(0.02)
    assert [check.state for check in opened().checks()] == [CheckState.WARNING]


def test_docs_print_the_example_as_it_is() -> None:
    code = (EXAMPLE / f"{MODULE}.py").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", DOCS.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert without_blank_lines("".join(blocks)) == without_blank_lines(code)


def test_it_is_no_longer_than_an_example_may_be() -> None:
    assert len(lines_of_code((EXAMPLE / f"{MODULE}.py").read_text("utf-8"))) <= LINES


def test_docs_print_its_project_file_as_it_is() -> None:
    (block,) = re.findall(r"^```toml\n(.*?)^```$", DOCS.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert block == (EXAMPLE / "pyproject.toml").read_text("utf-8")


def without_blank_lines(code: str) -> list[str]:
    return [line for line in code.splitlines() if line.strip()]


def lines_of_code(source: str) -> set[int]:
    """Numbers of the lines that are neither blank nor comment nor docstring."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    code = {n for token in tokens if token.type not in NO_CODE for n in range(token.start[0], token.end[0] + 1)}
    nodes = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef)]
    documented = [node.body[0] for node in nodes if ast.get_docstring(node) is not None]
    return code - {n for text in documented for n in range(text.lineno, (text.end_lineno or text.lineno) + 1)}
