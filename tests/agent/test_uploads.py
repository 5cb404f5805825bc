"""Patience with a Manager that is away, and failure reports."""

from __future__ import annotations

import errno
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from blendnet.agent.failure import LOG_LIMIT, MESSAGE_LIMIT, failure_report, kind_of
from blendnet.agent.uploads import patiently
from blendnet.errors import (
    BlenderCrashed,
    BlenderError,
    BlenderMissing,
    BlenderTimeout,
    BlenderUnfetched,
    DiskFull,
    HashMismatch,
    LeaseLost,
    ManagerFull,
    ManagerUnreachable,
)


class Failing:
    """Fails so many times, then answers."""

    def __init__(self, error: Exception, times: int) -> None:
        self.error = error
        self.times = times
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return "answer"


@pytest.mark.parametrize("error", [ManagerUnreachable("restarting"), ManagerFull("no room")], ids=repr)
def test_call_is_repeated_until_the_manager_can_answer(error: Exception) -> None:
    call = Failing(error, times=3)
    assert patiently(call, stop=threading.Event()) == "answer"
    assert call.calls == 4


@pytest.mark.parametrize("error", [LeaseLost("old"), DiskFull("this disk"), ValueError("ours")], ids=repr)
def test_call_is_not_repeated_when_that_cannot_help(error: Exception) -> None:
    call = Failing(error, times=3)
    with pytest.raises(type(error)):
        patiently(call, stop=threading.Event())
    assert call.calls == 1


def test_call_is_not_repeated_once_nobody_needs_it() -> None:
    stop = threading.Event()
    stop.set()
    call = Failing(ManagerUnreachable("gone"), times=3)
    with pytest.raises(ManagerUnreachable):
        patiently(call, stop=stop)
    assert call.calls == 1


def test_call_is_given_up_when_the_patience_is_over() -> None:
    with pytest.raises(ManagerUnreachable):
        patiently(Failing(ManagerUnreachable("gone"), times=1000), stop=threading.Event(), patience_s=0.3)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BlenderError("no camera", kind="scene"), "scene"),
        (BlenderError("no CUDA device", kind="device"), "device"),
        (BlenderCrashed("signal 11"), "crash"),
        (BlenderTimeout("4 hours"), "timeout"),
        (BlenderError("out of memory", kind="memory"), "memory"),
        (BlenderMissing("no Blender 4.5"), "missing"),
        (BlenderUnfetched("the mirror does not answer"), "files"),
        (HashMismatch("damaged"), "files"),
        (DiskFull("no space"), "disk"),
        (OSError(errno.ENOSPC, "no space"), "disk"),
        (OSError(errno.EROFS, "read only"), "output"),
        (OSError(errno.EIO, "disk"), "crash"),
        (MemoryError(), "memory"),
        (ZeroDivisionError("a bug"), "crash"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_failure_has_the_kind_that_says_who_is_to_blame(error: Exception, kind: str) -> None:
    assert kind_of(error) == kind


def test_failure_report_fits_whatever_blender_printed(tmp_path: Path) -> None:
    error = BlenderCrashed("x" * 10_000, log="first" + "y" * 100_000 + "last")
    report = failure_report(7, error, folder=tmp_path)
    assert (report.token, len(report.message), len(report.log)) == (7, MESSAGE_LIMIT, LOG_LIMIT)
    assert report.log.endswith("last")


def test_failure_report_names_errors_that_are_not_ours(tmp_path: Path) -> None:
    report = failure_report(1, ZeroDivisionError("division by zero"), folder=tmp_path)
    assert (report.kind, report.message) == ("crash", "ZeroDivisionError: division by zero")


@pytest.mark.parametrize(("free_bytes", "kind"), [(1 << 20, "disk"), (1 << 30, "output")], ids=["full", "free"])
def test_who_could_not_write_on_a_full_disk_failed_for_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_bytes: int, kind: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free_bytes))
    report = failure_report(1, BlenderError("wrote only a part", kind="output"), folder=tmp_path)
    assert (report.kind, "wrote only a part" in report.message) == (kind, True)
