"""Installs the `blendnet` command in an environment of its own, from the add-on's wheel and lock file."""

import os
import re
import shutil
import subprocess
import sys
import threading

from .command import clean_environment
from .errors import SetUpError, Stopped
from .farm_here import venv_program
from .files import check

PYTHONS = ("python3.11", "python3.12", "python3.13", "python3", "python")
PROBE = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"
PROBE_TIMEOUT_S = 20.0
END_TIMEOUT_S = 5.0
PINNED = re.compile(r"^[A-Za-z0-9._-]+==", re.MULTILINE)
KEPT_LINES = 40


def find_python():
    """A Python 3.11 or newer that can make environments: Blender's own, or one of the system. Raises SetUpError."""
    places = [sys.executable] + [shutil.which(name) for name in PYTHONS]
    for place in dict.fromkeys(filter(None, places)):
        if _fits(place):
            return place
    raise SetUpError(
        "BlendNet needs Python 3.11 or newer with venv, and none was found: install one (Debian, Ubuntu: apt install "
        "python3-venv), or use a Manager on another machine"
    )


def _fits(python):
    try:
        done = subprocess.run(
            [python, "-c", PROBE],
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


class Installation:
    """One installation; the panel shows `step` and `share`."""

    def __init__(self, folder, program, clouds=False):
        """`folder`: the environment to make; `program`: the folder with the wheel and the locked requirements;
        `clouds`: with those of clouds, beside what is in the environment already."""
        self._folder = folder
        self._fresh = [] if clouds else ["--clear"]
        self._lock = os.path.join(program, f"requirements{'-manager' if clouds else ''}.lock")
        self._wheels = [os.path.join(program, name) for name in os.listdir(program) if name.endswith(".whl")]
        self.step = "Looking for Python"
        self.share = None

    def run(self, stop):
        """Path of the installed command. Raises SetUpError, Stopped."""
        check(stop)
        python = find_python()
        self.step = "Making an environment"
        self._call(stop, [python, "-m", "venv"] + self._fresh + [self._folder])
        pip = [
            venv_program(self._folder, "python"),
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--no-input",
            "install",
        ]
        with open(self._lock, encoding="utf-8") as file:
            total = len(PINNED.findall(file.read()))
        if total:
            self.step, self.share = "Downloading BlendNet's parts", 0.0
            self._call(stop, pip + ["--require-hashes", "-r", self._lock], total)
        self.step, self.share = "Installing BlendNet", None
        self._call(stop, pip + ["--no-deps", "--no-index", "--force-reinstall"] + self._wheels)
        return venv_program(self._folder, "blendnet")

    def _call(self, stop, command, parts=0):
        """Run a program to its end, counting pip's parts. Raises SetUpError with its last words, Stopped."""
        try:
            process = subprocess.Popen(
                command,
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                universal_newlines=True,
                errors="replace",
            )
        except OSError as error:
            raise SetUpError(f"cannot run {command[0]} ({error.strerror}): install Python again") from error
        watching = threading.Thread(target=_end_when, args=(stop, process), daemon=True)
        watching.start()
        lines, seen = [], 0
        with process:
            for line in process.stdout:
                lines = (lines + [line.strip()])[-KEPT_LINES:]
                if parts and line.startswith("Collecting "):
                    seen += 1
                    self.share = min(1.0, seen / parts)
        watching.join()
        if stop.is_set():
            raise Stopped("stopped")
        if process.returncode != 0:
            said = next(
                (line for line in reversed(lines) if line.upper().startswith("ERROR")), (lines or ["no word"])[-1]
            )
            raise SetUpError(f"installing BlendNet failed: {said[:300]}. Check the internet connection and try again")


def _end_when(stop, process):
    """End a program as soon as `stop` is set."""
    while process.poll() is None:
        if stop.wait(0.1):
            process.terminate()
            try:
                process.wait(END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
            return
