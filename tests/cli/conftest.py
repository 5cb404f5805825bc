"""Running the command line as the program does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from blendnet.cli import app
from tests.manager.served import quick_hashes


@dataclass(frozen=True)
class Done:
    """What a command did."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture(scope="package", autouse=True)
def passwords_take_no_time() -> Iterator[None]:
    """What a hash costs has tests of its own."""
    with quick_hashes():
        yield


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Runs a command as the program does, within this process: dozens of new ones would take a minute."""

    def run_it(*args: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["blendnet", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            app.run()
        captured = capsys.readouterr()
        return Done(int(ended.value.code or 0), captured.out, captured.err)

    return run_it
