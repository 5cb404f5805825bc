"""What an agent tells of its machine's memory: limits of control groups and settings heeded, GPUs where known."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from blendnet import memory
from blendnet.agent import memory as agent_memory

GIB = memory.GIB


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.mark.parametrize(
    ("total", "render"),
    [(16 * GIB, int(12.8 * GIB)), (4 * GIB, 3 * GIB), (GIB, 0), (0, 0)],
    ids=["a share of much", "all but the system's", "nothing of little", "nothing"],
)
def test_blender_may_take_what_the_system_leaves(total: int, render: int) -> None:
    assert memory.for_rendering(total) == render


@pytest.mark.parametrize("total", [2 * GIB, 5 * GIB, 64 * GIB])
def test_machine_that_is_needed_holds_what_may_be_taken(total: int) -> None:
    assert memory.machine_bytes(memory.for_rendering(total)) == pytest.approx(total, abs=2)


@pytest.mark.parametrize(
    ("size", "text"),
    [(700 << 20, "700 MiB"), (int(1.5 * GIB), "1.5 GiB"), (8 * GIB, "8 GiB"), (int(21.4 * GIB), "21 GiB")],
)
def test_memory_is_told_as_it_is_sold(size: int, text: str) -> None:
    assert memory.text(size) == text


def test_limits_of_all_control_groups_around_are_found(tmp_path: Path) -> None:
    root, own = tmp_path / "cgroup", tmp_path / "own"
    write(own, "0::/farm.slice/agent.service\n")
    write(root / "memory.max", "max\n")
    write(root / "farm.slice" / "memory.max", str(6 * GIB))
    write(root / "farm.slice" / "agent.service" / "memory.max", str(8 * GIB))
    assert sorted(agent_memory.cgroup_limits(root, own)) == [6 * GIB, 8 * GIB]


def test_limits_of_the_first_kind_of_control_groups_are_found(tmp_path: Path) -> None:
    root, own = tmp_path / "cgroup", tmp_path / "own"
    write(own, "5:cpu,cpuacct:/other\n4:memory:/docker/abc\n")
    write(root / "memory" / "memory.limit_in_bytes", str((1 << 63) - 4096))
    write(root / "memory" / "docker" / "abc" / "memory.limit_in_bytes", str(3 * GIB))
    assert agent_memory.cgroup_limits(root, own) == [3 * GIB]


def test_container_sees_its_limit_at_the_top(tmp_path: Path) -> None:
    root, own = tmp_path / "cgroup", tmp_path / "own"
    write(own, "0::/../../host/path\n")
    write(root / "memory.max", str(2 * GIB))
    assert 2 * GIB in agent_memory.cgroup_limits(root, own)


def test_system_without_control_groups_has_no_limits(tmp_path: Path) -> None:
    assert agent_memory.cgroup_limits(tmp_path, tmp_path / "nothing") == []


def test_setting_limits_what_blender_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_memory, "cgroup_limits", lambda: [8 * GIB])
    total = min(psutil.virtual_memory().total, 8 * GIB)
    free = agent_memory.measure(0, ["CPU"])
    assert (free.memory_bytes, free.render_memory_bytes) == (total, memory.for_rendering(total))
    assert agent_memory.measure(1 << 20, ["CPU"]).render_memory_bytes == 1 << 20
    assert agent_memory.measure(1 << 60, ["CPU"]).render_memory_bytes == memory.for_rendering(total)


def test_memory_of_the_smallest_gpu_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "nvidia-smi"
    write(program, "#!/bin/sh\necho 24564\necho 8192\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    write(tmp_path / "drm" / "card1" / "device" / "mem_info_vram_total", str(16 * GIB))
    assert agent_memory.gpu_bytes(tmp_path / "drm") == 8 * GIB


def test_gpus_that_tell_nothing_are_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert agent_memory.gpu_bytes(tmp_path) is None
    assert agent_memory.measure(0, ["CPU"]).gpu_memory_bytes is None
