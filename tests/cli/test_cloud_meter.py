"""Time on a machine that does other things, too."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from blendnet.cli.cloud_meter import Span, between, read

SPIN = "while True: pass"


@pytest.mark.parametrize(
    ("span", "alone_s"),
    [
        (Span(wall_s=10, own_s=19, others_s=0.5, cores=2), 9.75),
        (Span(wall_s=10, own_s=10, others_s=10, cores=2), 5),
        (Span(wall_s=10, own_s=1, others_s=0, cores=2), 10),
        (Span(wall_s=10, own_s=12, others_s=18, cores=2), 6),
        (Span(wall_s=10, own_s=21, others_s=0, cores=2), 10),
    ],
    ids=["almost-alone", "shared-by-halves", "waits-for-itself", "clocks-disagree", "never-longer"],
)
def test_what_others_took_is_taken_out(span: Span, alone_s: float) -> None:
    assert span.alone_s == pytest.approx(alone_s)


def test_spans_add_up() -> None:
    both = Span(10, 10, 10, 2) + Span(10, 20, 0, 2)
    assert both == Span(20, 30, 10, 2)
    assert both.others_share == pytest.approx(0.25)


def test_a_process_beside_ours_is_seen() -> None:
    with subprocess.Popen([sys.executable, "-c", SPIN]) as other:
        try:
            start, own = read(other.pid), read(os.getpid())
            deadline = time.monotonic() + 20
            while between(start, read(other.pid)).own_s < 0.3:
                assert time.monotonic() < deadline
            ours = between(own, read(os.getpid()))
        finally:
            other.kill()
    assert ours.others_s >= 0.25
    assert ours.own_s / ours.cores <= ours.alone_s + 1e-9
    assert ours.alone_s < ours.wall_s


def test_a_process_that_is_gone_has_used_nothing_since() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    assert read(gone.pid).own_s == 0.0
    assert read(None).own_s == 0.0
