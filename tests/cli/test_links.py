"""`blendnet job links`: results straight from the farm's bucket, for programs without a login."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from blendnet.manager.egress import GB
from blendnet.settings import get_settings
from blendnet.storage.bucket_store import BucketStore
from tests.cli.clouds import set_settings
from tests.cli.conftest import Done
from tests.manager.farms import Kit
from tests.manager.served import Served, serve
from tests.storage.moto_bucket import Moto, aws, moto

__all__ = ["aws", "moto"]

MIB = 1 << 20


def reached(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    there = served.connection()
    set_settings(
        monkeypatch, manager_url=there.url, manager_ca=str(there.ca), manager_user=there.user,
        manager_password_file=str(there.password_file),
    )  # fmt: skip


@pytest.fixture
def served(
    request: pytest.FixtureRequest, aws: Moto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Served]:
    """A farm on a bucket; parameter: settings."""
    (tmp_path / "farm").mkdir()
    bucket = aws.open(aws.bucket(), "farm")
    store = BucketStore(bucket, tmp_path / "farm" / "store", cache_bytes=64 * MIB, direct_from_bytes=MIB)
    with serve(tmp_path / "farm", store=store, **getattr(request, "param", {})) as farm:
        reached(farm, monkeypatch)
        yield farm
    get_settings.cache_clear()


def finished(served: Served, folder: Path) -> str:
    folder.mkdir(exist_ok=True)
    kit = Kit(served.farm, folder)
    job = kit.submit([1], samples=16, chunk_samples=16)
    kit.complete(job)
    return job.id


def test_each_result_has_an_address_in_the_bucket_that_needs_no_login(
    served: Served, run: Callable[..., Done], tmp_path: Path
) -> None:
    job = finished(served, tmp_path / "kit")
    done = run("job", "links", job, "--json")
    assert done.returncode == 0, done.stderr
    links = json.loads(done.stdout)
    with served.owner() as owner:
        results = owner.results(job)
    assert {link["path"] for link in links} == {result.path for result in results} != set()
    for link in links:
        got = httpx.get(link["url"], trust_env=False)
        assert len(got.content) == link["size_bytes"]
        assert (link["expires_s"], "X-Amz-Signature" in link["url"]) == (900.0, True)
    shown = run("job", "links", job)
    assert "They expire in 15:00." in shown.stderr
    assert shown.stdout.count("X-Amz-Signature") == len(links)


def test_a_farm_without_a_bucket_says_what_fetches_them(
    run: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(tmp_path / "farm") as local:
        reached(local, monkeypatch)
        job = finished(local, tmp_path / "kit")
        done = run("job", "links", job)
    get_settings.cache_clear()
    assert done.returncode == 1
    assert f"`blendnet job download {job}` fetches them" in done.stderr


A_DOLLAR_A_BYTE = {"egress_usd_per_gb": GB, "cap_farm_usd": 8.0}
"""A cap with room for one result of `finished`, and not for two."""


@pytest.mark.parametrize("served", [A_DOLLAR_A_BYTE], indirect=True)
@pytest.mark.parametrize("as_json", [False, True])
def test_addresses_that_are_on_the_bill_are_told_before_the_one_that_a_cap_refuses(
    served: Served, run: Callable[..., Done], tmp_path: Path, *, as_json: bool
) -> None:
    job = finished(served, tmp_path / "kit")
    done = run("job", "links", job, *(["--json"] if as_json else []))
    assert done.returncode == 1
    assert (done.stderr if as_json else done.stdout).count("X-Amz-Signature") == 1
    assert "no room for fetching this file" in done.stderr
    assert "`blendnet costs --cap-farm" in done.stderr
    if as_json:
        assert json.loads(done.stdout)["error"]["code"] == "cap_reached"


def test_a_download_that_a_cap_refuses_says_what_helps(
    run: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(tmp_path / "farm", **A_DOLLAR_A_BYTE) as local:
        reached(local, monkeypatch)
        job, output = finished(local, tmp_path / "kit"), tmp_path / "out"
        refused = run("job", "download", job, "--output", output)
        raised = run("costs", "--cap-farm", "100")
        done = run("job", "download", job, "--output", output)
    get_settings.cache_clear()
    assert (refused.returncode, raised.returncode, done.returncode) == (1, 0, 0)
    (line,) = refused.stderr.splitlines()
    assert line.startswith("Error: the cap of $8.00 for the farm leaves no room for fetching this file")
    assert line.endswith("and fetch it again.")
    assert len([path for path in output.rglob("*") if path.is_file()]) == 2
