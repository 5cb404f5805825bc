"""Blender builds on this machine: finding, installing, registering and probing them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from blendnet.agent import archives, wheels
from blendnet.errors import BlenderMissing
from blendnet.settings import BLENDER_ORG, clean_environment

KNOWN_FILE = "known.json"
"""In the folder of builds: binaries that a person registered."""
PROBED_FILE = "probed.json"
"""In the folder of builds: what programs answered when they were last asked. Asking takes a third of a second."""
PROBED_MAX_AGE_S = 3600.0
"""The program may be a script that starts another one: its own time of change does not tell when that was updated."""
PROBE_TIMEOUT_S = 60.0
VERSION = re.compile(r"^\d+(\.\d+){0,2}$")
SHA256 = re.compile(r"^[0-9a-f]{64}$")
VERSION_LINE = re.compile(r"Blender (\d+)\.(\d+)(?: \(sub (\d+)\))?(?:\.(\d+))?")
"""'Blender 3.4.1' and 'Blender 4.5.1 LTS', up to 2.82 'Blender 2.79 (sub 0)'."""


@dataclass(frozen=True)
class Build:
    """A Blender that can be started."""

    version: str
    """Full version, '4.5.15'."""
    kind: str
    """'wheel': a Python that has the bpy module; 'binary': a blender program."""
    path: Path
    """The Python of the wheel's environment, or the blender program."""

    def command(self, inside: Path, in_fd: int, out_fd: int, *, threads: int = 0) -> list[str]:
        """The command line that runs `inside` in this Blender, conversing on two file descriptors. Pure."""
        tail = ["--", str(in_fd), str(out_fd), str(threads)]
        if self.kind == "wheel":
            return [str(self.path), "-I", str(inside), *tail]
        # Exit code: a script that breaks before the conversation must not look like a clean end.
        options = ["--background", "--factory-startup", "-noaudio", "--disable-autoexec", "--python-exit-code", "3"]
        return [str(self.path), *options, "--python", str(inside), *tail]

    @property
    def order(self) -> tuple[int, ...]:
        """Sorts builds by version."""
        return tuple(int(part) for part in self.version.split("."))


@dataclass(frozen=True)
class Source:
    """Where a build is to come from, and what it has to be. With nothing said: from its publisher, by its hashes."""

    sha256: str = ""
    """The only SHA-256 that the wheel or the archive may have."""
    url: str = ""
    """Address of an archive, wherever it is."""
    lock: Path | None = None
    """pip's requirements, with hashes, of all that the wheel needs."""
    mirror: str = BLENDER_ORG
    """Folder of blender.org's releases, or a copy of it."""


PUBLISHER = Source()


def known(blenders_dir: Path) -> list[Build]:
    """Every build on this machine, newest first: installed wheels, registered binaries, `blender` on PATH."""
    found = [*installed(blenders_dir), *_registered(blenders_dir), *_on_path(blenders_dir)]
    unique = {build.path: build for build in reversed(found)}
    return sorted(unique.values(), key=lambda build: (build.order, build.kind), reverse=True)


def find(wanted: str, blenders_dir: Path) -> Build:
    """The build that `wanted` names: a version ('4.5', '4.5.15'), a path, or 'blender' for the one on PATH.

    Of several that fit, the newest. Raises BlenderMissing, naming the command that mends it.
    """
    if VERSION.match(wanted):
        return _of_version(wanted, blenders_dir)
    program = shutil.which(os.path.expanduser(wanted))
    if program is None:
        raise BlenderMissing(f"no Blender at {wanted!r}. `blendnet blender list` shows the builds known here")
    return probe(Path(program))


def install(version: str, blenders_dir: Path, *, progress: wheels.Progress, source: Source = PUBLISHER) -> Build:
    """Install a version ('4.5': its newest, '4.5.15'); one that is there already is taken as it is.

    As the bpy wheel of PyPI where there is one for a Python that is here, else as blender.org's archive.
    Raises BlenderMissing when there is neither, a hash is wrong, or the system lacks what it needs (named),
    BlenderUnfetched when another try may do, DiskFull.
    """
    if not VERSION.match(version):
        raise BlenderMissing(f"{version!r} is not a version such as 4.5 or 4.5.15")
    _check_source(version, source)
    have = [build for build in installed(blenders_dir) if matches(build.version, version)]
    newest = max(have, key=lambda build: build.order, default=None)
    path = newest.path if newest else _fetch(version, blenders_dir, progress, source)
    if path.name.startswith("python"):
        wheels.check_libraries(path)
    return probe(path)


def _check_source(version: str, source: Source) -> None:
    if source.sha256 and not SHA256.match(source.sha256):
        raise BlenderMissing(f"{source.sha256!r} is not a SHA-256: 64 hexadecimal digits, small letters")
    if source.url and not source.sha256:
        raise BlenderMissing(f"an archive from {source.url} needs its SHA-256: name it with --sha256")
    if source.sha256 and version.count(".") != 2:
        raise BlenderMissing(f"a SHA-256 belongs to one build: name the full version instead of {version}")


def _fetch(version: str, blenders_dir: Path, progress: wheels.Progress, source: Source) -> Path:
    """The Python of a fresh wheel, or the program of a fresh archive."""
    if not source.url and wheels.offered(version):
        try:
            return wheels.install(version, blenders_dir, progress=progress, sha256=source.sha256, lock=source.lock)
        except wheels.NoWheel:
            # Of many versions PyPI never got a wheel. A lock is for a wheel alone.
            if source.lock is not None or not archives.offered():
                raise
    return archives.install(
        version, blenders_dir, mirror=source.mirror, progress=progress, sha256=source.sha256, url=source.url
    )


def register(path: Path, blenders_dir: Path) -> Build:
    """Remember a blender program so that its version is enough to find it. Raises BlenderMissing when it is none."""
    build = probe(path)
    paths = [*(other for other in _registered_paths(blenders_dir) if other != build.path), build.path]
    _write_json(blenders_dir / KNOWN_FILE, {"binaries": sorted(str(path) for path in paths)})
    return build


def probe(path: Path) -> Build:
    """The build behind a path: a blender program, a folder that holds one, or the Python of a bpy wheel.

    Raises BlenderMissing when nothing there answers as Blender does.
    """
    program = Path(os.path.abspath(path.expanduser()))
    if program.is_dir():
        program = program / "blender"
    try:
        stamp = program.stat().st_mtime_ns
    except OSError as error:
        raise BlenderMissing(f"no Blender at {program}: {error.strerror}") from error
    return _probe(program, stamp)


def installed(blenders_dir: Path) -> list[Build]:
    """The wheels (bpy-4.5.15) and archives (4.2.1) that `blendnet blender install` put into a folder of builds."""
    wheel = [(python.parent.parent.name, "wheel", python) for python in sorted(blenders_dir.glob("bpy-*/bin/python"))]
    archive = [(program.parent.name, "binary", program) for program in sorted(blenders_dir.glob("*.*.*/blender"))]
    named = [(name.removeprefix("bpy-"), kind, path) for name, kind, path in (*wheel, *archive)]
    return [Build(version, kind, path) for version, kind, path in named if VERSION.match(version)]


def parse_version(output: str) -> str | None:
    """'4.5.15' out of what `blender --version` prints; None when it is not Blender's. Pure."""
    found = VERSION_LINE.search(output)
    if found is None:
        return None
    major, minor, sub, patch = found.groups()
    return f"{major}.{minor}.{patch or sub or 0}"


def matches(version: str, wanted: str) -> bool:
    """True when the full `version` is the `wanted` one or begins with it ('4.5.15' is a '4.5', not a '4.51'). Pure."""
    return version == wanted or version.startswith(wanted + ".")


def _of_version(wanted: str, blenders_dir: Path) -> Build:
    builds = [build for build in known(blenders_dir) if matches(build.version, wanted)]
    if not builds:
        have = ", ".join(sorted({build.version for build in known(blenders_dir)})) or "none"
        raise BlenderMissing(
            f"no Blender {wanted} on this machine (there is: {have}). Run `blendnet blender install {wanted}`, "
            "or `blendnet blender path FILE` to name a blender program"
        )
    return builds[0]


def _registered_paths(blenders_dir: Path) -> list[Path]:
    try:
        content = json.loads((blenders_dir / KNOWN_FILE).read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except json.JSONDecodeError as error:
        raise BlenderMissing(f"{blenders_dir / KNOWN_FILE} is damaged ({error}): remove it, register again") from error
    return [Path(path) for path in content.get("binaries", [])]


def _registered(blenders_dir: Path) -> list[Build]:
    """Registered binaries that still are there; a removed one is no error until somebody asks for it."""
    return [build for path in _registered_paths(blenders_dir) if (build := _recalled(path, blenders_dir))]


def _on_path(blenders_dir: Path) -> list[Build]:
    program = shutil.which("blender")
    build = _recalled(Path(program), blenders_dir) if program else None
    return [build] if build else []


def _recalled(path: Path, blenders_dir: Path) -> Build | None:
    """The build behind a path as it answered not long ago, else as it answers now; None when it is no Blender."""
    memory = blenders_dir / PROBED_FILE
    try:
        stamp = path.stat().st_mtime_ns
        entries = _read_probed(memory)
        match entries.get(str(path)):
            case {"stamp": known, "version": str(version), "at": float(at)}:
                if known == stamp and 0 <= time.time() - at < PROBED_MAX_AGE_S and VERSION.match(version):
                    return Build(version, "binary", path)
        build = probe(path)
    except (OSError, BlenderMissing):
        return None
    if build.kind == "binary" and build.path == path:
        entries[str(path)] = {"stamp": stamp, "version": build.version, "at": time.time()}
        # Who cannot write here asks again next time.
        with contextlib.suppress(OSError):
            _write_json(memory, entries)
    return build


def _read_probed(memory: Path) -> dict[str, Any]:
    try:
        content = json.loads(memory.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(content, indent=1, sort_keys=True), "utf-8")
    partial.replace(path)


@lru_cache(maxsize=64)
def _probe(program: Path, stamp: int) -> Build:
    """`stamp`, the file's time of change, makes an updated program be asked again."""
    is_python = program.name.startswith("python")
    command = ["-I", "-c", _TELL_VERSION] if is_python else ["--version"]
    try:
        # Blender leaves a temporary folder behind when it is ended like this.
        with tempfile.TemporaryDirectory(prefix="blendnet-") as scratch:
            done = subprocess.run(
                [str(program), *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=PROBE_TIMEOUT_S,
                env=clean_environment(TMPDIR=scratch),
                check=False,
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BlenderMissing(f"{program} cannot be started: {error}") from error
    output = done.stdout.decode("utf-8", "replace")
    version = parse_version(output)
    if version is None or done.returncode != 0:
        raise BlenderMissing(f"{program} is no working Blender; it said: {output.strip()[-500:] or 'nothing'}")
    return Build(version, "wheel" if is_python else "binary", program)


_TELL_VERSION = "import bpy, os; print('Blender %d.%d.%d' % tuple(bpy.app.version), flush=True); os._exit(0)"
