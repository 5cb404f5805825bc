"""A notification of the desktop, where the system has a program for it. No bpy."""

import shutil
import subprocess
import sys

from .command import clean_environment

TIMEOUT_S = 15.0
TITLE, TEXT = "BLENDNET_TITLE", "BLENDNET_TEXT"
BALLOON = (
    "Add-Type -AssemblyName System.Windows.Forms; Add-Type -AssemblyName System.Drawing; "
    "$icon = New-Object System.Windows.Forms.NotifyIcon; $icon.Icon = [System.Drawing.SystemIcons]::Information; "
    f"$icon.Visible = $true; $icon.ShowBalloonTip(10000, $env:{TITLE}, $env:{TEXT}, 'Info'); "
    "Start-Sleep -Seconds 8; $icon.Dispose()"
)
"""Windows' own; texts come by the environment, where nothing in them can be taken for a command."""
SCRIPT = ("on run argv", "display notification (item 2 of argv) with title (item 1 of argv)", "end run")
"""Of macOS; the same by arguments."""


def command(platform, title, text, find=shutil.which):
    """The program and its arguments, by `sys.platform`; None where there is none. `find`: a program's name -> path."""
    if platform == "win32":
        program, rest = find("powershell"), ["-NoProfile", "-NonInteractive", "-Command", BALLOON]
    elif platform == "darwin":
        program, rest = find("osascript"), [part for line in SCRIPT for part in ("-e", line)] + [title, text]
    else:
        program, rest = find("notify-send"), ["--app-name=BlendNet", "--icon=blender", "--", title, text]
    return None if program is None else [program] + rest


def tell(title, text):
    """Show it; True when the system took it. Waits for the program: for a worker."""
    call = command(sys.platform, title, text)
    if call is None:
        return False
    try:
        done = subprocess.run(
            call,
            env=clean_environment(**{TITLE: title, TEXT: text}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def ended_text(job):
    """What became of a job, in one sentence."""
    name, frames = job["name"], job["frames_total"]
    if job["state"] == "completed":
        return f"{name} is completed: {frames} frame{'' if frames == 1 else 's'}."
    if job["state"] == "canceled":
        return f"{name} was canceled."
    # Each attempt with its reason follows behind the semicolons; the job itself shows them.
    return f"{name} failed: {job['message'].partition(';')[0] or 'see its log'}"
