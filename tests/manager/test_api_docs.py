"""The shell commands of docs/api.md do what the text says, as far as a farm without agents goes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.conftest import ROOT, unavailable
from tests.manager.served import serve

LOOK = """
api "$URL/v1/jobs/$JOB/events" | jq -r '.[0].text'
echo '{}' | post "$URL/v1/jobs/$JOB/cancel" | jq -r .state
"""
COMMANDS = ("curl", "jq", "bash", "sha256sum")


def blocks() -> list[str]:
    return re.findall(r"```bash\n(.*?)```", (ROOT / "docs" / "api.md").read_text("utf-8"), re.DOTALL)


def test_documented_commands_upload_submit_and_watch_a_job(tmp_path: Path) -> None:
    if absent := [name for name in COMMANDS if shutil.which(name) is None]:
        unavailable(f"not on this machine: {', '.join(absent)}")
    login, upload, submit = blocks()[1:4]
    with serve(tmp_path / "farm") as served:
        (tmp_path / "scene.blend").write_bytes(b"BLENDER of sorts")
        connection = served.connection()
        farm = {"url": connection.url, "ca": str(connection.ca), "user": connection.user}
        farm["password_file"] = str(connection.password_file)
        (served.data / "farm.json").write_text(json.dumps(farm))
        script = "set -euo pipefail\n" + login + upload + submit + LOOK
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "FARM": str(served.data)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "submitted: 1 frame of 128 samples" in done.stdout
        assert done.stdout.rstrip().endswith("canceled")
        assert [job.name for job in served.farm.jobs()] == ["my first job"]
    assert (tmp_path / "farm.curl").stat().st_mode & 0o077 == 0
