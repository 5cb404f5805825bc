"""Renders one sample of /var/local/scene.blend with this worker's Blender 4.5, as an agent would, and says when.

first_sample.py [drop] [DEVICE]     drop: with files read from the disk; DEVICE: GPU, CUDA, OPTIX, ... [default: CPU]
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

STARTED = time.monotonic()
BUILDS = Path(os.environ["BLENDNET_BLENDERS_DIR"])


def forget_files() -> None:
    """Have the system read the agent and Blender from the disk, as after a boot."""
    for folder in (Path("/opt/blendnet"), *BUILDS.iterdir()):
        for path in folder.resolve().rglob("*"):
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main() -> None:
    drop, *devices = sys.argv[1:] if sys.argv[1:2] == ["drop"] else ["", *sys.argv[1:]]
    if drop:
        forget_files()
    started = time.monotonic()

    def say(what: str) -> None:
        print(f"  {what:42} {time.monotonic() - started:6.1f} s", file=sys.stderr)

    from blendnet.agent import blenders
    from blendnet.agent.blender import WarmBlender
    from blendnet.errors import BlenderError

    say("agent's code read")
    build = blenders.find("4.5", BUILDS)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        with WarmBlender(build, workdir=work, log_path=work / "log.txt") as blender:
            blender.call("open", timeout_s=300, path="/var/local/scene.blend")
            say(f"Blender {build.version} started, scene open")
            print(f"  it offers {', '.join(blender.hello['devices'])}", file=sys.stderr)
            try:
                blender.call("prepare", timeout_s=300, samples=16, device=devices[0] if devices else "CPU")
            except BlenderError as error:
                sys.exit(f"  {error}")
            blender.call("render", timeout_s=300, frame=1, offset=0, count=1, total=16, output=work / "x.exr")
            say("first sample rendered")


if __name__ == "__main__":
    main()
