"""Finding providers by their names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from blendnet.errors import UserError
from blendnet.provision.base import Place
from blendnet.provision.registry import BUILT_IN, open_provider

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_an_unknown_provider_is_named() -> None:
    with pytest.raises(UserError, match="there is no provider 'nimbus'"):
        open_provider("nimbus", Place(farm="farm"))


def test_this_machine_is_no_cloud_to_ask_and_that_is_said() -> None:
    with pytest.raises(UserError, match=r"provider local is this machine.*blendnet up --agents"):
        open_provider("local", Place(farm="farm"))


def test_docs_say_of_every_cloud_what_has_only_met_test_doubles() -> None:
    pages = {path.name: path.read_text("utf-8") for path in DOCS.glob("clouds*.md")}
    _, _, told = pages["clouds.md"].partition("\n## What has only met test doubles\n")
    words = told.lower().replace("google cloud", "gcp")
    assert [name for name in BUILT_IN if name not in words] == []
    for page, anchor in re.findall(r"\((clouds[\w-]*\.md)#([\w-]+)\)", told):
        headings = re.findall(r"^#+ (.*)$", pages[page], re.MULTILINE)
        assert anchor in [heading.lower().replace(" ", "-") for heading in headings]
