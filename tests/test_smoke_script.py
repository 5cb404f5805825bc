"""The paid test of a real cloud (examples/cloud_smoke.sh): it ends before it could remove what it has not made."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "examples" / "cloud_smoke.sh"


@pytest.mark.parametrize(
    ("remains", "why"),
    [
        ("echo 'Error: the cloud does not answer' >&2; exit 1", "the cloud does not answer"),
        ("""echo '{"there": ["machine i-1"]}'""", "there is a farm of"),
    ],
    ids=["nobody knows", "a farm is there"],
)
def test_a_farm_that_may_be_there_is_neither_used_nor_removed(tmp_path: Path, remains: str, why: str) -> None:
    if shutil.which("jq") is None:
        pytest.skip("no jq here")
    called = tmp_path / "called"
    program = tmp_path / "blendnet"
    program.write_text(f'#!/bin/sh\necho "$*" >>{called}\ncase "$*" in "cloud remains"*) {remains} ;; esac\n')
    program.chmod(0o755)
    done = subprocess.run(
        [SCRIPT, "aws", "scene.blend"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SMOKE_DATA": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode != 0
    assert why in done.stderr
    assert called.read_text().splitlines() == ["cloud doctor", "cloud remains --json"]
