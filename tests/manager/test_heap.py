"""Free memory goes back to the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

HOLES = """
from blendnet.manager import heap

def held_kib():
    status = open("/proc/self/status").read()
    return int(status.partition("RssAnon:")[2].split()[0])

blocks = [bytearray(20_000) for _ in range(4_000)]  # Each of them in the heap: mmap serves from 128 KiB on.
kept, blocks = blocks[::50], None
before = held_kib()
heap.give_back()
print(before - held_kib())
"""
FREE_KIB = 3_920 * 20_000 // 1024


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps free memory")
def test_memory_between_blocks_in_use_is_given_back() -> None:
    shown = subprocess.run([sys.executable, "-c", HOLES], check=True, capture_output=True, text=True).stdout
    assert int(shown) > 0.7 * FREE_KIB
