"""Blender without network: a filter of the Linux kernel through which no socket but those of files can be made.

It binds the thread that asks for it and all that this thread starts, and cannot be taken off again. It needs no
privilege and no namespace, so that it also works in containers and hardened services. Pipes are not touched.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2

LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
"""BPF: load a word of seccomp_data, jump when it is equal, jump when it is no less, return."""
NUMBER_AT, ARCH_AT, FIRST_ARGUMENT_AT = 0, 4, 16
"""Offsets in seccomp_data (linux/seccomp.h) on little-endian machines."""
ALLOW = 0x7FFF0000
REFUSE = 0x00050000
"""With an errno in its low bits."""
IO_URING_SETUP, PIDFD_GETFD = 425, 438
"""Other ways to a socket: made by io_uring, taken from another process. The same numbers everywhere."""
FOREIGN_NUMBERS = 0x4000_0000
"""From here on, x86-64's 32-bit numbers: a second set of all calls."""

GPU_DRIVER = Path("/proc/driver/nvidia/version")
GPU_DEVICE = Path("/dev/nvidia-uvm")
GPU_HELPER_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Machine:
    """What differs between processors."""

    arch: int
    """AUDIT_ARCH_* of linux/audit.h."""
    socket: int
    """Number of the system call."""


MACHINES = {"x86_64": Machine(0xC000003E, 41), "aarch64": Machine(0xC00000B7, 198)}


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_ushort), ("yes", ctypes.c_ubyte), ("no", ctypes.c_ubyte), ("value", ctypes.c_uint))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction)))


def program(machine: Machine) -> Sequence[tuple[int, int, int, int]]:
    """The filter as (code, jump if so, jump if not, value). PURE.

    Jumps count the instructions that are left out. Calls of another processor's kind do not exist.
    """
    return (
        (LOAD, 0, 0, ARCH_AT),
        (EQUAL, 0, 8, machine.arch),
        (LOAD, 0, 0, NUMBER_AT),
        (AT_LEAST, 6, 0, FOREIGN_NUMBERS),
        (EQUAL, 5, 0, IO_URING_SETUP),
        (EQUAL, 4, 0, PIDFD_GETFD),
        (EQUAL, 0, 4, machine.socket),
        (LOAD, 0, 0, FIRST_ARGUMENT_AT),
        (EQUAL, 2, 0, socket.AF_UNIX),
        (RETURN, 0, 0, REFUSE | errno.EACCES),
        (RETURN, 0, 0, REFUSE | errno.ENOSYS),
        (RETURN, 0, 0, ALLOW),
    )


def go_offline() -> str:
    """Take the network from this thread and all that it starts from now on; '' or the reason why it keeps it."""
    machine = MACHINES.get(os.uname().machine)
    if not sys.platform.startswith("linux") or machine is None:
        return f"it is built for Linux on {' and '.join(MACHINES)}"
    instructions = [_Instruction(*line) for line in program(machine)]
    code = _Program(len(instructions), (_Instruction * len(instructions))(*instructions))
    # Without it only root may set a filter: a program that gains rights would not know what it cannot do.
    return _prctl(PR_SET_NO_NEW_PRIVS, 1, 0) or _prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(code))


def wake_gpu(driver: Path = GPU_DRIVER, device: Path = GPU_DEVICE) -> None:
    """Have NVIDIA's compute device made where a driver runs and nobody has used it yet.

    CUDA does that by a program that gains rights, which nothing offline can.
    """
    helper = shutil.which("nvidia-modprobe")
    if helper is not None and driver.exists() and not device.exists():
        subprocess.run(
            [helper, "-u", "-c=0"], stdin=subprocess.DEVNULL, capture_output=True, check=False,
            timeout=GPU_HELPER_TIMEOUT_S,
        )  # fmt: skip


def _prctl(option: int, first: int, second: int) -> str:
    call = ctypes.CDLL(None, use_errno=True).prctl
    call.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    return "" if call(option, first, second, 0, 0) == 0 else f"the system refuses: {os.strerror(ctypes.get_errno())}"
