"""A farm whose store is a bucket, from submit to download: the same pictures, straight from the bucket, and healed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from blendnet.merge import exr
from tests.cutting_proxy import cutting
from tests.end_to_end import farms
from tests.storage.moto_bucket import Moto, running_moto

pytestmark = pytest.mark.end_to_end

PREFIX = "farms/one"
RENDER = ("--frames", "1", "--samples", "16", "--chunk-samples", "8", "--strategy", "split")


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    with running_moto(tmp_path_factory.mktemp("moto")) as running:
        yield running


@pytest.fixture
def bucket(moto: Moto) -> str:
    return moto.bucket()


@pytest.fixture
def bucket_farm(
    moto: Moto, bucket: str, tmp_path: Path, bpy_build: object, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A farm on the bucket whose agents put every file that is worth it straight there."""
    with monkeypatch.context() as patch:
        for name, value in moto.environment.items():
            patch.setenv(name, value)
        patch.setenv("BLENDNET_STORE_URL", f"s3://{bucket}/{PREFIX}")
        patch.setenv("BLENDNET_STORE_DIRECT_BYTES", "1")
        data = tmp_path / "data"
        with farms.running(data):
            yield data


def keys(moto: Moto, bucket: str) -> dict[str, int]:
    found = moto.client.list_objects_v2(Bucket=bucket).get("Contents", [])
    return {entry["Key"].removeprefix(f"{PREFIX}/"): entry["Size"] for entry in found}


def key(sha256: str) -> str:
    return f"blobs/{sha256[:2]}/{sha256}"


def rendered(scene: Path, data: Path, out: Path) -> dict:
    result = farms.blendnet("render", scene, "--data", data, *RENDER, "--output", out, "--json")
    assert result.code == 0, result.err
    return result.json


def outputs(job: dict) -> dict[str, Path]:
    [frame] = job["frames"]
    return {Path(path).name: Path(path) for path in [frame["merged"], *frame["outputs"]]}


def same(ours: dict[str, Path], theirs: dict[str, Path]) -> None:
    assert set(ours) == set(theirs)
    for name in ours:
        if name.endswith(".exr"):
            mine, other = exr.read(ours[name]).channels, exr.read(theirs[name]).channels
            assert set(mine) == set(other)
            assert all(np.array_equal(mine[c], other[c], equal_nan=True) for c in mine), name


def straight(moto: Moto, bucket: str) -> list[str]:
    """Requests for blobs by address that the bucket answered well."""
    lines = moto.requests("GET", f"/{bucket}/{PREFIX}/blobs/")
    return [line for line in lines if "X-Amz-Signature" in line and '" 200' in line]


def test_farm_on_a_bucket_renders_the_same_and_heals_it(
    farm: Path, bucket_farm: Path, moto: Moto, bucket: str, clevr: Path, tmp_path: Path
) -> None:
    data = bucket_farm
    job = rendered(clevr, data, tmp_path / "ours")
    ours = outputs(job)
    same(ours, outputs(rendered(clevr, farm, tmp_path / "disk")))
    shas = {name: farms.sha256(path) for name, path in ours.items()}
    stored = keys(moto, bucket)
    assert {key(sha) for sha in shas.values()} <= set(stored)
    assert all(name.startswith("blobs/") for name in stored)
    assert len(straight(moto, bucket)) >= len(ours)

    # The folder of the farm holds nothing that the bucket does not: without it everything can still be had.
    for path in (data / "store" / "blobs").rglob("*"):
        if path.is_file():
            path.unlink()
    before = len(straight(moto, bucket))
    got = farms.blendnet("job", "download", job["job"], "--data", data, "--output", tmp_path / "again")
    assert got.code == 0, got.err
    assert "through the Manager" not in got.err
    assert len(straight(moto, bucket)) - before == len(ours)
    for name, sha in shas.items():
        assert farms.sha256(next((tmp_path / "again").rglob(name))) == sha

    # Every object of the job's results rots, and one vanishes.
    for sha in shas.values():
        moto.client.put_object(Bucket=bucket, Key=f"{PREFIX}/{key(sha)}", Body=b"x" * stored[key(sha)])
    found = farms.blendnet("doctor", "--deep", "--data", data, "--json")
    assert found.code == 0, found.out
    checks = {check["name"]: check for check in found.json["checks"]}
    assert (checks["hashes"]["state"], checks["hashes"]["repaired"]) == ("problem", True)
    assert f"s3://{bucket}/{PREFIX}" in checks["store"]["text"]
    waited = farms.blendnet("job", "wait", job["job"], "--data", data)
    assert waited.code == 0, waited.err + waited.out + farms.blendnet("job", "log", job["job"], "--data", data).out
    healed = farms.blendnet("job", "download", job["job"], "--data", data, "--output", tmp_path / "healed")
    assert healed.code == 0, healed.err
    same({name: next((tmp_path / "healed").rglob(name)) for name in ours}, ours)
    assert farms.blendnet("doctor", "--deep", "--data", data).code == 0

    # Making room: first what would go, then gone.
    dry = farms.blendnet("gc", "--dry-run", "--older-than", "0.001s", "--data", data, "--json")
    assert dry.code == 0, dry.err
    assert {"damaged files", "job"} <= {removal["kind"] for removal in dry.json["removals"]}
    assert any(name.startswith("damaged/") for name in keys(moto, bucket))
    done = farms.blendnet("gc", "--older-than", "0.001s", "--data", data, "--json")
    assert done.json["freed_bytes"] == dry.json["freed_bytes"]
    left = keys(moto, bucket)
    assert not any(name.startswith(("damaged/", "incoming/")) for name in left)
    assert not {key(sha) for sha in shas.values()} & set(left)

    no_secret_in(data)


def no_secret_in(data: Path) -> None:
    """Neither logs nor the ledger nor Redis hold an address or a key."""
    for path in [*(data / "logs").iterdir(), *(data / "redis").rglob("*"), *data.glob("ledger.sqlite*")]:
        if path.is_file():
            content = path.read_bytes()
            assert b"X-Amz-Signature" not in content, path
            assert b"AWS_SECRET" not in content, path


def test_farm_waits_for_a_bucket_that_is_away_and_loses_nothing(
    moto: Moto, bucket: str, bpy_build: object, clevr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = urlsplit(moto.url)
    with cutting((str(address.hostname), address.port or 80)) as line:
        for name, value in moto.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{line.port}")
        monkeypatch.setenv("BLENDNET_STORE_URL", f"s3://{bucket}/{PREFIX}")
        with farms.running(tmp_path / "data") as data:
            submitted = farms.blendnet("job", "submit", clevr, "--data", data, *RENDER, "--json")
            assert submitted.code == 0, submitted.err
            job = submitted.json["id"]
            line.cuts = [0] * 100_000
            line.drop()
            log = data / "logs" / "service.log"
            farms.wait_until(lambda: "does not answer" in log.read_text(), "the outage is noticed", 120)
            shown = farms.blendnet("job", "show", job, "--data", data, "--json").json
            assert shown["state"] in ("queued", "active")
            line.cuts = []
            waited = farms.blendnet("job", "wait", job, "--data", data)
            assert waited.code == 0, waited.err
            farms.wait_until(
                lambda: "the bucket answers again" in log.read_text(), "the end of the outage is noticed", 60
            )
            attempts = farms.blendnet("job", "attempts", job, "--data", data, "--json").json
            assert [attempt for attempt in attempts if attempt["kind"] != "interrupted"] == []
            assert farms.blendnet("doctor", "--deep", "--data", data).code == 0


def test_farm_does_not_start_on_a_bucket_that_is_not_there(
    moto: Moto, bpy_build: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in moto.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BLENDNET_STORE_URL", "s3://no-such-bucket/farm")
    refused = farms.blendnet("up", "--data", tmp_path / "wrong")
    assert refused.code == 1
    assert "there is no bucket s3://no-such-bucket/farm" in refused.err
    assert farms.processes_mentioning(tmp_path / "wrong") == []
