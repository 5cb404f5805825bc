"""`blendnet cloud doctor`: what it looks at, how it says it, and when it fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from blendnet.cli import cloud_doctor
from blendnet.provision import registry
from tests.cli.clouds import clouds, set_settings
from tests.cli.conftest import Done

__all__ = ["clouds"]

Run = Callable[..., Done]


def checks(done: Done) -> dict[str, dict[str, Any]]:
    """The checks of --json by name."""
    return {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def doctor(run: Run, *args: str) -> Done:
    return run("cloud", "doctor", *args)


def test_everything_well_is_an_exit_with_zero(run: Run) -> None:
    done = doctor(run, "--provider", "nimbus", "--region", "moon-1", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["provider"] == "nimbus"
    found = checks(done)
    assert {check["state"] for check in found.values()} == {"ok"}
    assert found["provider"]["message"] == "nimbus, from blendnet-nimbus 2.5"
    assert found["credentials"]["message"] == "you are moon-1"


@pytest.mark.parametrize(("mood", "status"), [("warning", 0), ("problem", 1)])
def test_a_problem_fails_and_a_warning_does_not(run: Run, mood: str, status: int) -> None:
    done = doctor(run, "--provider", "nimbus", "--option", f"mood={mood}", "--json")
    assert done.returncode == status
    assert checks(done)["quota: spot vCPU"] == {
        "name": "quota: spot vCPU", "state": mood, "message": "5 of 8", "help": "https://nimbus.example/quota",
    }  # fmt: skip


def test_text_names_what_mends_a_problem_below_it(run: Run) -> None:
    done = doctor(run, "--provider", "nimbus", "--option", "mood=problem")
    lines = done.stdout.splitlines()
    at = lines.index("problem  quota: spot vCPU: 5 of 8")
    assert lines[at + 1] == "         -> https://nimbus.example/quota"
    assert "\x1b" not in done.stdout


def test_without_a_provider_the_known_ones_are_named(run: Run) -> None:
    done = doctor(run)
    assert done.returncode == 1
    assert "--provider" in done.stderr
    assert all(name in done.stderr for name in ("aws", "halfway", "nimbus", "still"))


def test_settings_choose_provider_region_and_options(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    set_settings(
        monkeypatch,
        cloud_provider="nimbus",
        cloud_region="moon-2",
        cloud_options="mood=problem; key=s3cret",
    )
    done = doctor(run, "--json")
    assert done.returncode == 1
    assert checks(done)["credentials"]["message"] == "you are moon-2"
    assert doctor(run, "--option", "mood=well", "--json").returncode == 0
    assert checks(done)["place"]["message"] == "region: moon-2; options: mood, key"
    assert "s3cret" not in done.stdout + doctor(run).stdout


@pytest.mark.parametrize(
    ("name", "words", "help_"),
    [
        ("nimbsu", "there is no provider 'nimbsu'", "--provider nimbus"),
        ("abacus", "there is no provider 'abacus'", "docs/providers.md"),
        ("local", "there is no cloud to check", "blendnet doctor"),
    ],
)
def test_an_unknown_provider_is_a_problem_with_a_way_out(run: Run, name: str, words: str, help_: str) -> None:
    done = doctor(run, "--provider", name, "--json")
    assert done.returncode == 1
    assert words in checks(done)["provider"]["message"]
    assert help_ in checks(done)["provider"]["help"]


def test_a_missing_sdk_is_named_with_the_command_that_installs_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "BUILT_IN", {"aws": "nowhere:open"})
    monkeypatch.setattr(cloud_doctor, "BUILT_IN", registry.BUILT_IN)
    monkeypatch.setattr(cloud_doctor, "SDKS", {"aws": ("no_such_sdk.part", "no-such-sdk", "aws")})
    done = doctor(run, "--provider", "aws", "--json")
    assert done.returncode == 1
    sdk = checks(done)["sdk"]
    assert (sdk["state"], sdk["message"]) == ("problem", "no-such-sdk is not installed")
    assert "-m pip install 'blendnet[aws]'" in sdk["help"]
    assert list(checks(done)) == ["place", "provider", "sdk"]


@pytest.mark.parametrize("name", ["aws", "gcp", "azure"])
def test_sdks_of_the_clouds_are_looked_for_where_they_are(name: str) -> None:
    module, distribution, extra = cloud_doctor.SDKS.get(name, cloud_doctor.OTHERS)
    assert cloud_doctor._is_there(module)
    assert cloud_doctor.metadata.version(distribution)
    extras = (Path(__file__).resolve().parents[2] / "setup.cfg").read_text("utf-8").split("[options.extras_require]")[1]
    assert f"\n{extra} =\n" in extras


def test_a_provider_that_cannot_be_opened_is_a_problem_in_its_own_words(run: Run) -> None:
    done = doctor(run, "--provider", "halfway", "--json")
    assert done.returncode == 1
    assert "pip install nimbus-sdk" in checks(done)["open"]["message"]


def test_a_provider_that_breaks_is_a_problem_and_no_traceback(run: Run) -> None:
    done = doctor(run, "--provider", "nimbus", "--option", "mood=broken", "--json")
    assert done.returncode == 1
    assert "RuntimeError: out of order" in checks(done)["open"]["message"]


def test_text_says_what_is_waited_for_and_keeps_a_message_in_its_line(run: Run) -> None:
    done = doctor(run, "--provider", "nimbus", "--region", "a\nb  " + "c" * 900)
    assert "Asking nimbus ..." in done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "credentials" in line]
    assert line.startswith("ok       credentials: you are a b ccc")
    assert len(line) < 600


def test_a_provider_without_checks_is_a_warning(run: Run) -> None:
    done = doctor(run, "--provider", "still", "--json")
    assert done.returncode == 0
    assert checks(done)["checks"]["state"] == "warning"


def test_an_unreadable_setting_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    set_settings(monkeypatch, fleet_boot_s="soon")
    done = doctor(run, "--provider", "nimbus", "--json")
    assert done.returncode == 1
    found = checks(done)["settings"]
    assert "BLENDNET_FLEET_BOOT_S is 'soon'" in found["message"]
    assert found["help"].startswith("unset BLENDNET_FLEET_BOOT_S")


def test_options_that_cannot_be_read_are_a_problem(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    set_settings(monkeypatch, cloud_options="mood")
    done = doctor(run, "--provider", "nimbus", "--json")
    assert done.returncode == 1
    assert "BLENDNET_CLOUD_OPTIONS" in checks(done)["place"]["message"]


def test_a_setting_with_a_typo_is_a_warning(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    set_settings(monkeypatch, cluod_region="moon")
    done = doctor(run, "--provider", "nimbus", "--json")
    assert done.returncode == 0
    assert checks(done)["settings"]["help"] == "did you mean BLENDNET_CLOUD_REGION?"


def test_an_option_has_to_be_a_pair(run: Run) -> None:
    done = doctor(run, "--provider", "nimbus", "--option", "mood")
    assert (done.returncode, "NAME=VALUE" in done.stderr) == (2, True)
