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


def test_gpus_have_what_cuda_and_optix_need() -> None:
    packages = (ROOT / "worker_image" / "packages-gpu.txt").read_text().splitlines()
    assert {"nvidia-driver", "libcuda1", "libnvoptix1"} <= {*packages}, "OptiX's library comes with the driver"
    assert "libnvidia-rtcore" in packages, "OptiX opens it, and no package brings it along"
    dockerfile = (ROOT / "worker_image" / "Dockerfile").read_text()
    capabilities = re.search(r"NVIDIA_DRIVER_CAPABILITIES=(\S+)", dockerfile)
    assert capabilities
    assert {*capabilities[1].split(",")} == {"compute", "utility", "graphics"}, "without graphics there is no OptiX"
