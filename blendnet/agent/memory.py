"""How much memory this machine has for rendering: of the system, within control groups, and of its GPUs."""

from __future__ import annotations

import contextlib
import logging
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from blendnet import memory
from blendnet.settings import clean_environment

logger = logging.getLogger(__name__)

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
DRM = Path("/sys/class/drm")
NO_LIMIT_BYTES = 1 << 60
"""Control groups of the first kind write a number beyond this for 'no limit'."""
NVIDIA_SMI = ("nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits")
"""Prints MiB, a line for each GPU."""
GPU_TIMEOUT_S = 5.0
CPU = "CPU"


@dataclass(frozen=True)
class MachineMemory:
    """What an agent tells of its machine's memory."""

    memory_bytes: int
    render_memory_bytes: int
    """What Blender may take of it."""
    gpu_memory_bytes: int | None
    """Of the smallest GPU, None: nobody knows or none renders."""


def measure(blender_limit_bytes: int, devices: Iterable[str]) -> MachineMemory:
    """The memory of this machine. `blender_limit_bytes`: the most that settings let a Blender have, 0: no limit;
    `devices`: what renders here: a GPU is looked for only where one does."""
    total = min([psutil.virtual_memory().total, *cgroup_limits()])
    render = memory.for_rendering(total)
    return MachineMemory(
        memory_bytes=total,
        render_memory_bytes=min(render, blender_limit_bytes) if blender_limit_bytes else render,
        gpu_memory_bytes=gpu_bytes() if any(device != CPU for device in devices) else None,
    )


def cgroup_limits(root: Path = CGROUPS, own: Path = OWN_CGROUP) -> list[int]:
    """Limits of the control groups that this process is in, those around them included; none: there are no limits."""
    try:
        lines = own.read_text("utf-8").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top, name = (root / "memory", "memory.limit_in_bytes") if controllers else (root, "memory.max")
        # In a container of its own the path may be that of the host: what is at the top there is the container's.
        folder = top / path.lstrip("/")
        found += [_limit(each / name) for each in (folder, *folder.parents) if each == top or top in each.parents]
    return [limit for limit in found if limit is not None]


def gpu_bytes(drm: Path = DRM) -> int | None:
    """Memory of the smallest GPU, which has to hold the whole scene; None: nobody knows."""
    sizes = _nvidia_bytes()
    for file in drm.glob("card*/device/mem_info_vram_total"):
        with contextlib.suppress(OSError, ValueError):
            sizes.append(int(file.read_text("ascii")))
    return min(sizes, default=None)


def _nvidia_bytes() -> list[int]:
    try:
        said = subprocess.run(
            NVIDIA_SMI, capture_output=True, text=True, timeout=GPU_TIMEOUT_S, env=clean_environment(), check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        logger.debug("nvidia-smi does not tell the memory of GPUs: %s", error)
        return []
    return [int(line) << 20 for line in said.stdout.split() if line.isdigit()]


def _limit(file: Path) -> int | None:
    try:
        limit = int(file.read_text("ascii"))
    except (OSError, ValueError):  # There is no such control group, or it says "max".
        return None
    return limit if 0 < limit < NO_LIMIT_BYTES else None
