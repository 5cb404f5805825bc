"""The bundle for a Manager's machine: packed from a checkout, with what its script has to say."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from blendnet.cli import cloud_bundle
from blendnet.cli.cloud_bundle import bundle_for
from blendnet.cli.cloud_farm import CloudFarm
from blendnet.errors import FarmError
from blendnet.manager.folder import DataFolder


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """bundle.sh of a checkout that packs what it is told."""
    project = tmp_path / "project"
    for folder in ("blendnet", "worker_image", ".git"):
        (project / folder).mkdir(parents=True)
    monkeypatch.setattr(cloud_bundle.blendnet, "__file__", str(project / "blendnet" / "__init__.py"))
    return project / "worker_image" / "bundle.sh"


def test_what_is_not_in_the_bundle_is_said_and_the_bundle_goes_with_the_farm(
    script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script.write_text('echo noise >&2; echo "bundle: changes that are not committed are not in it" >&2; echo x >"$1"')
    farm = CloudFarm(DataFolder(tmp_path / "data"))
    path, sha256 = bundle_for(farm.bundle, None)
    assert (path, sha256) == (farm.bundle, hashlib.sha256(b"x\n").hexdigest())
    said = capsys.readouterr().err
    assert "bundle: changes that are not committed are not in it" in said
    assert "noise" not in said
    farm.forget()
    assert not farm.bundle.exists()


def test_a_bundle_that_cannot_be_packed_says_why(script: Path, tmp_path: Path) -> None:
    script.write_text("echo no pip >&2; exit 1")
    with pytest.raises(FarmError, match=r"cannot pack this BlendNet .*: no pip"):
        bundle_for(tmp_path / "bundle.tar.gz", None)
