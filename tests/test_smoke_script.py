"""The paid test of a real cloud (examples/cloud_smoke.sh): what it removes, and what becomes of quick machines."""

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


FARM = """#!/bin/sh
echo "$*" >>"$0.called"
case "$*" in
  "cloud remains"*) echo '{"there": []}' ;;
  "job submit"*) echo '{"job": "j1"}' ;;
  "job list"*) grep -q 'agent remove a2' "$0.called" && state=AFTERWARDS || state=STATE
    echo "[{\\"id\\": \\"j1\\", \\"state\\": \\"$state\\"}]" ;;
  "agent list"*) echo "[{\\"name\\": \\"a$(grep -c 'agent list' "$0.called")\\", \\"state\\": \\"busy\\"}]" ;;
  "agent remove a1") echo "Error: no agent a1 on this farm" >&2; exit 1 ;;
  "fleet --json") echo '{"machines": []}' ;;
  costs) echo "total of the bill" ;;
esac
"""
"""A farm whose first machine is gone before it could be ended."""


def smoke(
    folder: Path, state: str, afterwards: str = "completed", **environment: str
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run it against such a farm, whose job is in a state, and in another once a machine was ended; what it called."""
    if shutil.which("jq") is None:
        pytest.skip("no jq here")
    farm = FARM.replace("STATE", state).replace("AFTERWARDS", afterwards)
    for name, text in (("blendnet", farm), ("sleep", "#!/bin/sh\nexec /bin/sleep 0.1\n")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    environment |= {"PATH": f"{folder}:{os.environ['PATH']}", "SMOKE_DATA": str(folder / "data")}
    done = subprocess.run(
        [SCRIPT, "aws", "scene.blend", "192.0.2.1"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done, (folder / "blendnet.called").read_text().splitlines()


def test_a_machine_that_is_gone_too_soon_does_not_count_and_another_is_ended(tmp_path: Path) -> None:
    done, called = smoke(tmp_path, "active")
    assert done.returncode == 0, done.stderr
    assert [call for call in called if call.startswith("agent remove")] == ["agent remove a1", "agent remove a2"]
    assert called.index("job download j1 --output " + str(tmp_path / "data" / "pictures")) > called.index(
        "agent remove a2"
    )
    assert called[-2:] == ["cloud remove --yes", "cloud remains --json"]
    assert "total of the bill" in done.stdout


def test_a_job_that_is_done_before_a_machine_was_ended_fails_in_clear_words_and_leaves_nothing(tmp_path: Path) -> None:
    done, called = smoke(tmp_path, "completed")
    assert done.returncode == 1
    assert "take a scene that renders longer" in done.stderr
    assert "cloud remove --yes" in called
    assert "nothing of the farm is left in the account" in done.stderr


def test_a_job_that_its_cap_has_paused_ends_the_test_and_leaves_nothing(tmp_path: Path) -> None:
    done, called = smoke(tmp_path, "active", "paused")
    assert done.returncode == 1
    assert "job j1 is paused" in done.stderr
    assert "cloud remove --yes" in called


def test_a_job_that_does_not_end_ends_the_test_in_time_and_leaves_nothing(tmp_path: Path) -> None:
    done, called = smoke(tmp_path, "active", "active", SMOKE_MINUTES="60", SECONDS="3598")
    assert done.returncode == 1
    assert "took longer than SMOKE_MINUTES (60)" in done.stderr
    assert "cloud remove --yes" in called
