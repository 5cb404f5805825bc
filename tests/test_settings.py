"""Settings are read from the environment: each from its own variable, and from nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from blendnet.settings import Settings


def test_variables_are_read_as_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"DATA": "/farm", "FLEET_MAX": "7", "CAP_DAY_USD": "2.5", "MANAGER_CA": "/ca.pem", "MANAGER_CLOUD": "aws"}
    for name, value in values.items():
        monkeypatch.setenv(f"BLENDNET_{name}", value)
    read = Settings()
    assert (read.data, read.manager_ca, read.fleet_max, read.cap_day_usd) == (Path("/farm"), Path("/ca.pem"), 7, 2.5)
    assert read.manager_cloud == "aws"


def test_variable_counts_in_letters_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("blendnet_fleet_max", "7")
    assert Settings().fleet_max == 7


def test_what_the_caller_says_counts_more_than_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLENDNET_FLEET_MAX", "7")
    assert Settings(fleet_max=3).fleet_max == 3


def test_value_that_makes_no_sense_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLENDNET_CAP_DAY_USD", "much")
    with pytest.raises(ValidationError, match="cap_day_usd"):
        Settings()


def test_no_file_of_the_folder_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("BLENDNET_FLEET_MAX=7\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BLENDNET_FLEET_MAX", raising=False)
    assert Settings().fleet_max == Settings.model_fields["fleet_max"].default
