"""Packs what a Manager's machine is made from, of what the add-on brings along; as worker_image/bundle.sh does it."""

import gzip
import io
import os
import subprocess
import tarfile

from .command import clean_environment
from .errors import DiskError

LOCKS = ("requirements.lock", "requirements-manager.lock")
IMAGE = "worker_image"
VERSION_LIMIT_S = 60.0


def wheel_in(program):
    """File name of the wheel that the add-on brings in the folder `program`; '': none (it runs from its sources)."""
    try:
        names = os.listdir(program)
    except OSError:
        return ""
    return next((name for name in sorted(names) if name.endswith(".whl")), "")


def fits(program, command):
    """Whether the `blendnet` command is of the wheel's version, so that both mean the same."""
    wheel = wheel_in(program)
    if not wheel or not os.path.isdir(os.path.join(program, IMAGE)):
        return False
    try:
        done = subprocess.run(
            [command, "--version"],
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            timeout=VERSION_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.split()[-1:] == [wheel.split("-")[1]]


def pack(program, target):
    """Write the bundle of the folder `program` to the file `target`: the same bytes every time. Raises DiskError."""
    names = [wheel_in(program)] + list(LOCKS) + _image_files(program)
    buffer = io.BytesIO()
    try:
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
            for name in names:
                _add(archive, os.path.join(program, *name.split("/")), name)
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        with open(target + ".new", "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
            packed.write(buffer.getvalue())
        os.replace(target + ".new", target)
    except OSError as error:
        raise DiskError(f"cannot pack {target} ({error.strerror}): make room, or install the add-on again") from error


def _image_files(program):
    found = []
    for folder, _, names in os.walk(os.path.join(program, IMAGE)):
        inside = os.path.relpath(folder, program).replace(os.sep, "/")
        found += [f"{inside}/{name}" for name in names]
    return sorted(found)


def _add(archive, path, name):
    with open(path, "rb") as file:
        data = file.read()
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o755 if name.endswith(".sh") else 0o644
    archive.addfile(info, io.BytesIO(data))
