"""The farm of this computer: the `blendnet` command found and run. What it says is passed on in one sentence."""

import os
import shutil
import sys
import time

from .command import ask
from .errors import AddonError, Stopped

UP_TIMEOUT_S = 180.0
TOLD_TIMEOUT_S = 15.0
"""Agents that run tell of a new Blender with their next report, every two seconds; looking at it takes them longer."""
ASK_S = 0.3
"""So often they are asked."""
PROGRAM = "blendnet.exe" if os.name == "nt" else "blendnet"


def venv_program(folder, name):
    """Path of a program in a virtual environment."""
    return os.path.join(folder, *(("Scripts", name + ".exe") if os.name == "nt" else ("bin", name)))


def find_command(wanted, own_venv):
    """Path of the `blendnet` command: the one named, ours, one on PATH, the user's; '' when there is none."""
    places = [os.path.expanduser(wanted)] if wanted else []
    if not wanted:
        places += [venv_program(own_venv, "blendnet"), shutil.which("blendnet") or ""]
        places.append(os.path.join(os.path.expanduser("~"), ".local", "bin", PROGRAM))
    return next((place for place in places if place and os.path.isfile(place) and os.access(place, os.X_OK)), "")


def default_data():
    """The folder that `blendnet` uses by itself."""
    chosen = os.environ.get("BLENDNET_DATA")
    home = os.environ.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local", "share")
    return chosen or os.path.join(home, "blendnet", "farm")


def start(command, data, agents, stop=None):
    """Start the farm on folder `data` and return what `blendnet up --json` says. One that runs is left as it is.

    Raises SetUpError, Stopped: nothing runs then that did not before.
    """
    ran = _runs(data)
    try:
        return run(command, "up", "--json", "--agents", str(agents), "--data", data, stop=stop)
    except Stopped:
        if not ran and _runs(data):
            end(command, data)  # It waited for its agents alone.
        raise


def _runs(data):
    return os.path.exists(os.path.join(data, "farm.json"))


def end(command, data):
    """End the farm on folder `data`. Raises SetUpError."""
    return run(command, "down", "--json", "--data", data)


def know_blender(command, program, stop=None):
    """Make this Blender known to the agents of this computer, if it is not yet. Raises SetUpError, Stopped."""
    known = {os.path.realpath(build["path"]) for build in run(command, "blender", "list", "--json", stop=stop)}
    if os.path.realpath(program) not in known:
        run(command, "blender", "path", program, "--json", stop=stop)


def wait_until_told(agents, version, stop):
    """Wait until an agent has told that it has this version of Blender; a job that comes sooner is refused.

    Not for ever: what is missing then, sending says. `agents()`: those of the farm, as the API gives them.
    """
    until = time.monotonic() + TOLD_TIMEOUT_S
    while time.monotonic() < until and not stop.is_set():
        try:
            if any(version in agent["blenders"] for agent in agents()):
                return
        except AddonError:
            return  # The next look at the Manager says why.
        stop.wait(ASK_S)


def run(command, *arguments, stop=None):
    """The JSON that `blendnet ARGUMENTS` prints. Raises SetUpError with its own words, Stopped."""
    return ask(command, arguments, stop, limit_s=UP_TIMEOUT_S)


def can_run_here():
    """Whether a farm can run on this system: it needs file locks and process groups that Windows lacks."""
    return sys.platform != "win32"
