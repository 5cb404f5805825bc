"""`blendnet cloud types`: machines and their prices."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from blendnet.cli.cloud_types import age_text, gpu_text, price_text
from blendnet.provision.base import MachineType
from tests.cli.clouds import clouds
from tests.cli.conftest import Done

__all__ = ["clouds"]

Run = Callable[..., Done]


def types(run: Run, *args: str) -> Done:
    return run("cloud", "types", "--provider", "nimbus", "--region", "moon-1", *args)


def test_types_are_sorted_by_price_per_vcpu_and_unknown_ones_are_last(run: Run) -> None:
    done = types(run, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["types"]
    assert [type_["name"] for type_ in found] == ["n.arm", "n.large", "n.small", "n.huge", "n.gpu", "n.secret"]
    assert [type_["usd_per_vcpu_hour"] for type_ in found][-1] is None


def test_every_price_has_its_source_and_age(run: Run) -> None:
    (large,) = [t for t in json.loads(types(run, "--json").stdout)["types"] if t["name"] == "n.large"]
    assert large["spot"] == {
        "usd_per_hour": 0.12,
        "source": "cache",
        "age_s": pytest.approx(7200, abs=60),
        "zone": "moon-1a",
    }
    assert large["on_demand"]["usd_per_hour"] == pytest.approx(0.36)


def test_an_unknown_price_is_null_and_the_word_never_zero(run: Run) -> None:
    (huge,) = [t for t in json.loads(types(run, "--json").stdout)["types"] if t["name"] == "n.huge"]
    assert huge["on_demand"] is None
    (line,) = [line for line in types(run).stdout.splitlines() if line.startswith("n.secret")]
    assert line.split().count("unknown") == 3
    assert "0.0" not in line


@pytest.mark.parametrize(
    ("args", "names"),
    [(["--min-vcpus", "17"], ["n.huge"]), (["--gpu"], ["n.gpu"])],
    ids=["vcpus", "gpu"],
)
def test_types_can_be_narrowed(run: Run, args: list[str], names: list[str]) -> None:
    assert [type_["name"] for type_ in json.loads(types(run, *args, "--json").stdout)["types"]] == names


def test_table_shows_gpus_source_and_age(run: Run) -> None:
    (line,) = [line for line in types(run).stdout.splitlines() if line.startswith("n.gpu")]
    assert "2 x L4" in line
    assert line.split()[-3:] == ["cache", "2", "h"]


def test_nothing_that_fits_is_a_clear_error(run: Run) -> None:
    done = types(run, "--min-vcpus", "65")
    assert done.returncode == 1
    assert "no machine types with at least 65 vCPUs" in done.stderr


def test_a_provider_without_types_says_why(run: Run) -> None:
    done = run("cloud", "types", "--provider", "still")
    assert done.returncode == 1
    assert "they are all the same" in done.stderr


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "now"), (59, "now"), (60, "1 min"), (7200, "2 h"), (86_400 * 600, "600 days")]
)
def test_age_is_told_in_the_largest_unit(seconds: float, text: str) -> None:
    assert age_text(seconds) == text


@pytest.mark.parametrize(
    ("usd", "text"), [(None, "unknown"), (0.0, "0.0000"), (0.1234567, "0.1235"), (0.00001, "1.0e-05")]
)
def test_a_small_price_is_not_shown_as_free(usd: float | None, text: str) -> None:
    assert price_text(usd) == text


@pytest.mark.parametrize(
    ("gpus", "name", "text"), [(0, "", ""), (1, "L4", "L4"), (4, "T4", "4 x T4"), (2, "", "2 x GPU")]
)
def test_gpus_are_counted(gpus: int, name: str, text: str) -> None:
    assert gpu_text(MachineType("m", 1, 1, gpus=gpus, gpu=name)) == text
