"""Run as a file: ties a program's life to its parent's and becomes it. Standard library only: starts in milliseconds.

python -I -S guard.py PARENT_PID PROGRAM [ARGUMENT ...]
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""From <linux/prctl.h>: the kernel sends the signal when the parent dies, and keeps the request across exec."""


def tie_to_parent(parent: int) -> None:
    """Make the kernel kill this process when `parent` ends (Linux); exits at once when it has ended already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


if __name__ == "__main__":
    tie_to_parent(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
