"""cloud-init's own schema on all user data: of agents, from an image and stock, and of Managers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from blendnet.provision.bootstrap import user_data
from tests.conftest import ROOT
from tests.provision import test_bootstrap, test_bootstrap_manager
from tests.provision.test_bootstrap import AGENT, BUNDLE

TOOLS = ROOT / "build" / "tools" / "usr" / "lib" / "python3" / "dist-packages"
"""Where `make check` unpacks Debian's cloud-init."""
INSTALLED = Path("/usr/lib/python3/dist-packages")
SCHEMA = "cloudinit/config/schemas/schema-cloud-config-v1.json"
DATA = {
    "image": lambda: user_data(AGENT, lifetime_s=1),
    "stock": lambda: user_data(AGENT, lifetime_s=1, bundle=BUNDLE),
    "Manager": test_bootstrap_manager.made,
}


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """That of Debian's cloud-init, installed or unpacked by `make check`."""
    for path in (TOOLS / SCHEMA, INSTALLED / SCHEMA):
        if path.is_file():
            found: dict[str, Any] = json.loads(path.read_text("utf-8"))
            return found
    if os.environ.get("CI"):
        pytest.fail("no cloud-init: `make check` unpacks it")
    pytest.skip("no cloud-init here: `make build/tools/.ready` unpacks Debian's")


def faults(schema: dict[str, Any], document: dict[str, Any]) -> Iterator[str]:
    """What cloud-init finds, and keys that it would ignore: its schema takes any other one for a good one."""
    known = {key for part in schema["$defs"].values() for key in part.get("properties", {})}
    yield from sorted(set(document) - known)
    yield from (error.message for error in jsonschema.Draft4Validator(schema).iter_errors(document))


@pytest.mark.parametrize("kind", DATA)
def test_cloud_init_finds_no_fault(schema: dict[str, Any], kind: str) -> None:
    document = test_bootstrap.parsed(DATA[kind]())
    assert list(faults(schema, document)) == []
    document["write_files"][0]["permissions"] = 644
    assert list(faults(schema, document)) != []


def test_a_key_that_cloud_init_does_not_know_is_seen(schema: dict[str, Any]) -> None:
    assert list(faults(schema, {"runcmds": []})) == ["runcmds"]
