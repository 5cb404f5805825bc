"""Shell that stands in user data: shellcheck reads it as it does the scripts of this repository."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from blendnet.provision import stock
from blendnet.provision.aws.user_data import timer
from blendnet.provision.bootstrap import user_data
from blendnet.provision.cloud_init import startup_script
from blendnet.provision.gcp.request import NEEDS_NO_SCRIPT
from tests.provision.test_bootstrap import AGENT, BUNDLE, parsed

SHELLCHECK = Path(sys.executable).with_name("shellcheck")
FULL = replace(BUNDLE, gpu=True)


def scripts() -> dict[str, str]:
    """Every script that a machine is given, as it arrives there."""
    stock_data, image_data = user_data(AGENT, lifetime_s=60, bundle=FULL), user_data(AGENT, lifetime_s=60)
    lasting = {file.path: file.content for file in stock.lasting_files(BUNDLE, "blendnet-manager.service", "--manager")}
    commands = [*parsed(stock_data)["runcmd"], *stock.LASTING_COMMANDS]
    shell = [command[2] for command in commands if tuple(command[:2]) == ("bash", "-c")]
    assert shell, "install.sh is run by a shell that powers the machine off when it fails"
    return {
        "stock": NEEDS_NO_SCRIPT + startup_script(stock_data),
        "image": NEEDS_NO_SCRIPT + startup_script(image_data),
        "timer": timer(3600.0).removeprefix("#cloud-boothook\n"),
        "become": lasting[stock.BECOME_FILE],
        **{f"command {number}": f"#!/bin/bash\n{text}\n" for number, text in enumerate(shell)},
    }


@pytest.mark.parametrize("name", ["stock", "image", "timer", "become", "command 0"])
def test_shellcheck_finds_no_fault_in_what_machines_are_given(name: str, tmp_path: Path) -> None:
    found = scripts()
    (tmp_path / "script").write_text(found[name])
    # SC1128: before the script for Google's Debian stands a line with a `#!` of its own.
    done = subprocess.run(
        [SHELLCHECK, "--exclude=SC1128", tmp_path / "script"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "")
    (tmp_path / "script").write_text(found[name] + "cd $1 && rm -r $2/*\n")
    assert subprocess.run([SHELLCHECK, tmp_path / "script"], capture_output=True, check=False, timeout=60).returncode
