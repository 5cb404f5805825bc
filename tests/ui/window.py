"""A Blender with a real window on a screen of its own: clicked with the mouse, photographed, killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from blendnet.agent.blenders import Build
from tests.end_to_end.farms import wait_until

SCRIPT = Path(__file__).parent / "scripts" / "at_start.py"
SCREEN = "1280x900x24"
START_TIMEOUT_S = 180.0
QUIT_TIMEOUT_S = 20.0
FIRST_BUTTON = 175
"""Pixels from the top of the panel's region to the middle of the first button (Blender 2.90 and later)."""
LESS_ABOVE = 40
"""The same in Blender 2.83: so many fewer, its editor has no line for a search."""
ASIDE = ("1270", "880")
"""Where the mouse rests: on nothing that lights up."""
STILL, STILL_S = 4, 0.3
"""A window that looks the same so many times, so many seconds apart, is still."""
LINE, BUTTON = 22, 29
"""Heights of a line of text above it and of a button."""
LIST, ROW, LOG_BUTTON = 297, 21, 89
"""Pixels from the top of the panel's region to the first line of the list of jobs, below two buttons and no message;
from line to line; from the only line to the button Log below it."""


@contextmanager
def screen() -> Iterator[str]:
    """An X server and a window manager; its DISPLAY."""
    with ExitStack() as stack:
        reading, writing = os.pipe()
        server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(writing), "-screen", "0", SCREEN, "-nolisten", "tcp"],
            pass_fds=[writing],
            stderr=subprocess.DEVNULL,
        )
        stack.callback(_end, server)
        os.close(writing)
        with os.fdopen(reading) as told:
            display = f":{told.readline().strip()}"
        manager = subprocess.Popen(["openbox"], env={**os.environ, "DISPLAY": display}, stderr=subprocess.DEVNULL)
        stack.callback(_end, manager)
        yield display


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _part(left: int, top: int, width: int, height: int) -> str:
    return f"{width}x{height}+{left}+{top}"


class Window:
    """One running Blender."""

    def __init__(self, process: subprocess.Popen[bytes], display: str, folder: Path, build: Build) -> None:
        self._process = process
        self._env = {**os.environ, "DISPLAY": display}
        self._folder = folder
        self._less = LESS_ABOVE if build.order < (2, 90) else 0
        self._first = ""
        self._redraws = 0

    @property
    def state(self) -> dict[str, Any]:
        """What the script inside told last."""
        self._check_alive()
        try:
            return json.loads((self._folder / "state.json").read_text("utf-8"))
        except FileNotFoundError:
            return {"ready": False}

    def _check_alive(self) -> None:
        ended = self._process.poll()
        assert ended is None, (
            f"Blender ended with {ended}:\n{(self._folder / 'blender.log').read_text('utf-8')[-3000:]}"
        )

    def wait(self, condition: Callable[[dict[str, Any]], Any], what: str, timeout_s: float = 60.0) -> dict[str, Any]:
        """The state once the condition holds."""
        seen: list[dict[str, Any]] = []

        def holds() -> bool:
            seen[:] = [self.state]
            return bool(condition(seen[0]))

        try:
            wait_until(holds, what, timeout_s)
        except AssertionError as error:
            self.photograph(self._folder / "failed.png", moving=True)
            raise AssertionError(f"{error}\n{json.dumps(seen[0], indent=1)[:3000]}") from error
        return seen[0]

    def click(self, x: int, y: int) -> None:
        """Press the left button at a place of the screen."""
        self._tool("xdotool", "mousemove", str(x), str(y), "sleep", "0.2", "click", "1")
        self._tool("xdotool", "sleep", "0.1", "mousemove", *ASIDE)

    def press(self, key: str) -> None:
        """Press a key."""
        self._tool("xdotool", "key", key)

    def click_button(self, number: int, lines: int = 0, across: float = 0.5) -> None:
        """Press the panel's button `number`, from 0, below `lines` lines of text, at that share of the width."""
        self.click_below(self._offset(number, lines), across)

    def click_list(self, down: int, lines: int = 0, across: float = 0.25) -> None:
        """Press what is so many pixels below the first line of the list of jobs, with `lines` of messages above."""
        self.click_below(LIST + lines * LINE + down, across)

    def click_below(self, down: int, across: float = 0.5) -> None:
        """Press what is so many pixels below the top of the panel's region, at that share of the width."""
        self._redraw()
        left, top, width, _ = self.place("panel")
        self.click(left + int(width * across), top + down - self._less)

    def _redraw(self) -> None:
        """Until it is drawn, the panel takes clicks for what it has shown before."""
        self._redraws += 1
        self.do(f"redraw({self._redraws})")
        self.wait(lambda state: state["drawn"] == self._redraws, "the panel is drawn")

    def place(self, name: str) -> tuple[int, int, int, int]:
        """(left, top, width, height) on the screen of the state's `panel` or `editor`."""
        left, bottom, width, height = self.state[name]
        x, y, _, window_height = self._place(self._first)
        return x + left, y + window_height - bottom - height, width, height

    def part(self, name: str) -> str:
        """The same for `photograph`."""
        return _part(*self.place(name))

    def part_of_top(self) -> str:
        """The window that Blender has opened last, for `photograph`."""
        return _part(*self._place(self._top()))

    @staticmethod
    def _offset(number: int, lines: int) -> int:
        return FIRST_BUTTON + lines * LINE + number * BUTTON

    def find(self) -> None:
        """Note which window is Blender's first, before there are others: clicks go there."""
        self._first = self._windows()[-1]

    def _windows(self) -> list[str]:
        return self._tool("xdotool", "search", "--onlyvisible", "--class", "Blender").split()

    def _top(self) -> str:
        """The window that Blender has opened last, once it is there."""

        def others() -> list[str]:
            return [each for each in self._windows() if each != self._first]

        return wait_until(others, "another window is there")[-1]

    def _place(self, window: str) -> tuple[int, int, int, int]:
        """(left, top, width, height) of a window on the screen, without its frame."""
        about = self._tool("xwininfo", "-id", window)
        found = [re.search(rf"{name}:\s+(-?\d+)", about) for name in ("left X", "left Y", "Width", "Height")]
        left, top, width, height = (int(match[1]) for match in found if match)
        return left, top, width, height

    def do(self, code: str) -> None:
        """Run Python inside, from a timer; returns when it ran. What it raises fails the test."""
        self._run("do.py", code)

    def act(self, code: str) -> None:
        """The same from an event of the first window, as a button does: for operators that need a window."""
        self._run("act.py", code)

    def _run(self, name: str, code: str) -> None:
        failed = self._folder / "failed"
        failed.unlink(missing_ok=True)
        path = self._tell(name, code)

        def taken() -> bool:
            self._check_alive()
            return not path.exists()

        wait_until(taken, "Blender runs a script", 60.0)
        assert not failed.exists(), f"{code}\n{failed.read_text('utf-8')}"

    def _tell(self, name: str, code: str) -> Path:
        new = self._folder / "new.py"
        new.write_text(code, "utf-8")
        return new.replace(self._folder / name)

    def photograph(self, path: Path, crop: str = "", *, moving: bool = False) -> None:
        """The screen, or a part of it (WIDTHxHEIGHT+X+Y), as a PNG; `moving`: at once, it never stands still."""
        part = ["-crop", crop, "+repage"] if crop else []
        command = ["import", "-window", "root", *part]
        seen: list[bytes] = []

        def still() -> bool:
            """Panels slide into their places: several pictures alike in a row."""
            done = subprocess.run([*command, "rgb:-"], env=self._env, capture_output=True, check=True, timeout=30)
            seen.append(done.stdout)
            time.sleep(STILL_S)
            return len(seen) >= STILL and len(set(seen[-STILL:])) == 1

        if not moving:
            wait_until(still, "the window is still", 60.0)
        written = [*command, "-strip", "+dither", "-colors", "200", f"PNG8:{path}"]
        subprocess.run(written, env=self._env, check=True, timeout=30)

    def close_top(self) -> None:
        """Close the window that Blender has opened last, as its frame's button does."""
        self._tool("xdotool", "windowactivate", "--sync", self._top(), "key", "--window", "0", "alt+F4")

    def kill(self) -> None:
        """As a crash does."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def quit(self) -> None:
        """As the menu does, and wait until nothing of it is left."""
        self._tell("act.py", "bpy.ops.wm.quit_blender()")
        assert self._process.wait(QUIT_TIMEOUT_S) == 0

    def _tool(self, *arguments: str) -> str:
        done = subprocess.run(arguments, env=self._env, capture_output=True, text=True, check=True, timeout=30)
        return done.stdout


@contextmanager
def blender(
    build: Build, display: str, folder: Path, *, scene: Path, zip_file: Path | None, output: Path, **env: str
) -> Iterator[Window]:
    """Blender with a window in which the add-on is enabled; `folder` holds its settings and messages."""
    (folder / "scripts" / "addons").mkdir(parents=True, exist_ok=True)
    (folder / "state.json").unlink(missing_ok=True)
    for name in ("do.py", "act.py"):
        (folder / name).unlink(missing_ok=True)
    command = [str(build.path), "--factory-startup", "-noaudio", "--window-geometry", "0", "0", "1280", "900"]
    with (folder / "blender.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, str(scene), "--python", str(SCRIPT), "--", str(folder), str(zip_file or ""), str(output)],
            env={
                **os.environ,
                "DISPLAY": display,
                "LIBGL_ALWAYS_SOFTWARE": "1",
                "GALLIUM_DRIVER": "llvmpipe",
                "LP_NUM_THREADS": "1",
                "BLENDER_USER_SCRIPTS": str(folder / "scripts"),
                "BLENDER_USER_CONFIG": str(folder / "config"),
                "BLENDNET_ADDON_FOLDER": str(folder / "blendnet"),
                **env,
            },
            stdout=log,
            stderr=log,
        )
    try:
        window = Window(process, display, folder, build)
        window.wait(lambda state: state["ready"], "Blender's window is there", START_TIMEOUT_S)
        window.find()
        yield window
    finally:
        if process.poll() is None:
            _end(process)
