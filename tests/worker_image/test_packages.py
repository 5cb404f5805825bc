"""What is said twice is the same."""

from __future__ import annotations

import re

from blendnet.agent.wheels import PACKAGE_OF_LIBRARY
from tests.conftest import ROOT


def test_image_has_all_libraries_that_blender_loads() -> None:
    packages = (ROOT / "worker_image" / "packages.txt").read_text().splitlines()
    makefile = re.search(r"^RUN_PACKAGES := (.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert makefile
    assert {*PACKAGE_OF_LIBRARY.values(), *makefile[1].split()} <= {*packages}
