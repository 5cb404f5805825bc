"""Files of a real farm are damaged on disk: the doctor finds them, and the very same pictures come back."""

from __future__ import annotations

from pathlib import Path

import pytest

from blendnet.merge import exr
from tests.end_to_end import farms

pytestmark = pytest.mark.end_to_end


def rendered(farm: Path, scene: Path, out: Path) -> dict:
    result = farms.blendnet(
        "render", scene, "--data", farm, "--frames", "1", "--samples", "16", "--chunk-samples", "8",
        "--output", out, "--json",
    )  # fmt: skip
    assert result.code == 0, result.err
    return result.json


def flip(farm: Path, sha256: str) -> None:
    """Change one byte in the middle of a stored file."""
    path = farm / "store" / "blobs" / sha256[:2] / sha256
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def test_damaged_files_are_found_and_made_again(farm: Path, clevr: Path, tmp_path: Path) -> None:
    before = rendered(farm, clevr, tmp_path / "before")
    [frame] = before["frames"]
    blobs = {Path(path).name: farms.sha256(Path(path)) for path in [frame["merged"], *frame["outputs"]]}
    for sha256 in blobs.values():
        flip(farm, sha256)
    found = farms.blendnet("doctor", "--deep", "--data", farm, "--json")
    assert found.code == 0, found.out
    hashes = next(check for check in found.json["checks"] if check["name"] == "hashes")
    assert (hashes["state"], hashes["repaired"]) == ("problem", True)
    assert farms.blendnet("job", "wait", before["job"], "--data", farm).code == 0
    got = farms.blendnet("job", "download", before["job"], "--data", farm, "--output", tmp_path / "after")
    assert got.code == 0, got.err
    merged = Path(frame["merged"]).name
    ours, theirs = exr.read(tmp_path / "after" / merged).channels, exr.read(Path(frame["merged"])).channels
    assert all((ours[name] == theirs[name]).all() for name in theirs)
    assert farms.blendnet("doctor", "--deep", "--data", farm).code == 0
    dry = farms.blendnet("gc", "--dry-run", "--data", farm, "--json")
    assert any(removal["kind"] == "damaged files" for removal in dry.json["removals"])


def test_backup_of_a_running_farm_is_whole(farm: Path, tmp_path: Path) -> None:
    file = tmp_path / "ledger.backup"
    assert farms.blendnet("backup", file, "--data", farm).code == 0
    refused = farms.blendnet("restore", file, "--data", farm)
    assert refused.code == 1
    assert "a farm runs on" in refused.err
    assert farms.blendnet("restore", file, "--data", tmp_path / "new").code == 0
    assert (
        farms.blendnet("doctor", "--no-repair", "--data", tmp_path / "new", "--json").json["checks"][0]["state"] == "ok"
    )
