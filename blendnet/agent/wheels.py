"""Installing Blender as a bpy wheel: each into an environment of its own, since each pins its Python and numpy."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from blendnet.errors import BlenderMissing, BlenderUnfetched, DiskFull

Progress = Callable[[str, float | None], None]
"""Called with what is going on and how much of it is done (0..1, None when nobody knows)."""

PYTHON_OF_WHEEL = (((5, 1), "3.13"), ((4, 1), "3.11"), ((0, 0), "3.10"))
"""From this Blender on, its wheel is made for this Python."""
OLDEST_WHEEL = (4, 2)
"""PyPI keeps no older ones."""
PARTIAL_PREFIX = ".partial-"
DISK_FULL = ("No space left on device", "Disk quota exceeded")
NOT_FETCHED = re.compile(r"Could not fetch URL \S+: (?!404 )(.*?)(?: - skipping)?$", re.MULTILINE)
"""Of pip's verbose log: an index did not answer. pip goes on as if it had held nothing."""
PASSING = re.compile(
    r"(?:^|HTTP error )(?:408|429|5\d\d) |Max retries exceeded|connection error|[Tt]imed out|ProtocolError"
    r"|IncompleteRead|incomplete-download|problem confirming the ssl certificate",
    re.MULTILINE,
)
"""pip's words for what may go better in a while."""
BROKEN_OFF = ("DO NOT MATCH THE HASHES", "is invalid.")
"""What pip says, unless it is a new one, of a file whose end is missing."""
NO_WHEEL = "No matching distribution found for bpy=="
DOWNLOAD_LINE = re.compile(r"Downloading (?P<name>bpy-[\w.]+)-\S+ \((?P<size>[\d.]+) (?P<unit>[kMG]?B)\)")
UNIT_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}
POLL_S = 0.5
OUTPUT_TAIL = 1500
PACKAGE_OF_LIBRARY = {
    "libX11.so.6": "libx11-6",
    "libXrender.so.1": "libxrender1",
    "libXfixes.so.3": "libxfixes3",
    "libXi.so.6": "libxi6",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libSM.so.6": "libsm6",
    "libICE.so.6": "libice6",
    "libXext.so.6": "libxext6",
    "libGL.so.1": "libgl1",
}
"""System libraries a bpy wheel loads -> Debian and Ubuntu packages."""

_ours: set[str] = set()
"""Names of the partial builds that this process is making."""
_ours_lock = threading.Lock()


class NoWheel(BlenderMissing):
    """PyPI answered, and has no wheel of this version for this machine."""


def install(version: str, folder: Path, *, progress: Progress, sha256: str = "", lock: Path | None = None) -> Path:
    """Install the newest bpy wheel of `version` ('4.5' or '4.5.15') into folder/bpy-<full version>; return its Python.

    The environment is made under a temporary name and renamed when it is complete. pip holds every file against the
    hash in PyPI's index; `sha256` is the only one that the wheel may have, `lock` (pip's requirements with hashes)
    names all that it needs.
    Raises NoWheel, BlenderUnfetched (no answer, a broken one), BlenderMissing (no Python for it, pip's own words),
    DiskFull.
    """
    with partial_build(folder) as partial:
        _make_environment(partial, _python_for(version), progress)
        for arguments in _runs(partial, version, sha256, lock):
            _install_wheel(partial, version, arguments, progress)
        return _keep(partial, folder)


@contextmanager
def partial_build(folder: Path) -> Iterator[Path]:
    """A folder to make a build in, beside those that are complete; what others abandoned there is dropped."""
    folder.mkdir(parents=True, exist_ok=True)
    remove_abandoned(folder)
    with _ours_lock:
        partial = Path(tempfile.mkdtemp(prefix=f"{PARTIAL_PREFIX}{os.getpid()}-", dir=folder))
        _ours.add(partial.name)
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        with _ours_lock:
            _ours.discard(partial.name)


def check_libraries(python: Path) -> None:
    """Raise BlenderMissing, naming the command that mends it, when the system lacks libraries that the wheel loads."""
    modules = sorted(python.parent.parent.glob("lib/python3.*/site-packages/bpy/__init__*.so"))
    ldd = shutil.which("ldd")
    if ldd is None or not modules:
        return
    output = subprocess.run([ldd, str(modules[0])], capture_output=True, text=True, check=False).stdout
    missing = missing_libraries(output)
    if missing:
        raise BlenderMissing(missing_libraries_message(missing))


def missing_libraries(ldd_output: str) -> list[str]:
    """Names of the libraries that `ldd` did not find. Pure."""
    return sorted({line.split()[0] for line in ldd_output.splitlines() if "=> not found" in line})


def missing_libraries_message(names: list[str]) -> str:
    """What to do about missing libraries. Pure."""
    packages = [PACKAGE_OF_LIBRARY[name] for name in names if name in PACKAGE_OF_LIBRARY]
    unknown = [name for name in names if name not in PACKAGE_OF_LIBRARY]
    text = "this system lacks libraries that Blender loads"
    if packages:
        text += f". On Debian and Ubuntu run: apt-get install --no-install-recommends {' '.join(packages)}"
    return text + (f". No package known for: {', '.join(unknown)}" if unknown else "")


def python_of_wheel(version: str) -> str:
    """The Python ('3.11') that the bpy wheel of a Blender version is made for. Pure."""
    parts = [int(part) for part in version.split(".")]
    key = (parts[0], parts[1] if len(parts) > 1 else 0)
    return next(python for since, python in PYTHON_OF_WHEEL if key >= since)


def offered(version: str) -> bool:
    """True when PyPI should have a wheel of a version for a Python that is here."""
    parts = tuple(int(part) for part in version.split("."))
    if parts[:2] < OLDEST_WHEEL[: len(parts)]:
        return False
    return _python_here(python_of_wheel(version)) is not None


def download_size(line: str) -> tuple[str, int] | None:
    """('bpy-4.5.15', bytes) from pip's line about a download of Blender; None for other lines. Pure."""
    found = DOWNLOAD_LINE.search(line)
    return (found["name"], int(float(found["size"]) * UNIT_BYTES[found["unit"]])) if found else None


def _python_for(version: str) -> str:
    wanted = python_of_wheel(version)
    python = _python_here(wanted)
    if python is None:
        raise BlenderMissing(
            f"the wheel of Blender {version} needs Python {wanted}, which is not on PATH. Install it, "
            "or download Blender from blender.org and name its program instead of a version"
        )
    return python


def _python_here(wanted: str) -> str | None:
    if wanted == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    return shutil.which(f"python{wanted}")


def _runs(partial: Path, version: str, sha256: str, lock: Path | None) -> list[list[str]]:
    """What to tell pip, run by run: a hash for one file wants it installed alone, and all the rest afterwards."""
    wanted = f"bpy=={version}" if version.count(".") == 2 else f"bpy=={version}.*"
    if not sha256:
        return [[wanted]]
    pinned = partial / "pinned.txt"
    pinned.write_text(f"{wanted} --hash=sha256:{sha256}\n", "utf-8")
    rest = ["--require-hashes", "-r", str(lock)] if lock is not None else [wanted]
    return [["--require-hashes", "--no-deps", "-r", str(pinned)], rest]


def _make_environment(partial: Path, python: str, progress: Progress) -> None:
    progress("making an environment", None)
    done = subprocess.run(
        [python, "-m", "venv", str(partial)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        raise _failure("cannot make an environment for Blender", done.stdout + _pip_trouble(partial))


def _pip_trouble(partial: Path) -> str:
    """What hinders putting pip into an environment: `venv` says only that something does."""
    python = partial / "bin" / "python"
    if not python.exists():
        return ""
    command = [str(python), "-m", "ensurepip", "--upgrade"]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout


def _install_wheel(partial: Path, version: str, arguments: list[str], progress: Progress) -> None:
    """Run pip and tell how far it is, judged by the size of the file it downloads."""
    scratch = partial / "download"
    scratch.mkdir()
    log_path = partial / "pip.log"
    verbose_path = scratch / "verbose.log"
    command = [str(partial / "bin" / "python"), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    command += ["--no-cache-dir", "--only-binary=:all:", "--progress-bar", "off"]
    command += ["--log", str(verbose_path), *arguments]
    environment = {**os.environ, "TMPDIR": str(scratch)}
    progress(f"looking for Blender {version}", None)
    with log_path.open("wb") as log:
        pip = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        try:
            while _still_running(pip):
                _tell(log_path, scratch, progress)
        finally:
            pip.kill()
            pip.wait()
    if pip.returncode != 0:
        verbose = verbose_path.read_text("utf-8", "replace") if verbose_path.exists() else ""
        output, pinned = log_path.read_text("utf-8", "replace"), "--require-hashes" in arguments
        raise _failure(f"cannot install Blender {version}", output, verbose, pinned=pinned)
    shutil.rmtree(scratch, ignore_errors=True)


def _still_running(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(POLL_S)
    except subprocess.TimeoutExpired:
        return True
    return False


def _tell(log_path: Path, scratch: Path, progress: Progress) -> None:
    lines = log_path.read_text("utf-8", "replace").splitlines()
    download = next((found for line in lines if (found := download_size(line))), None)
    if download is None:
        return
    name, size = download
    here = sum(path.stat().st_size for path in scratch.glob("pip-*/bpy-*.whl"))
    if any(line.startswith("Installing collected packages") for line in lines):
        progress(f"unpacking {name}", None)
    else:
        progress(f"downloading {name}", min(1.0, here / size))


def _keep(partial: Path, folder: Path) -> Path:
    """Give a complete environment its name; one that another process finished first is as good."""
    info = next(partial.glob("lib/python3.*/site-packages/bpy-*.dist-info"))
    final = folder / info.name.removesuffix(".dist-info")
    partial.chmod(0o755)
    try:
        partial.rename(final)
    except OSError:
        if not final.is_dir():
            raise
    return final / "bin" / "python"


def _failure(what: str, output: str, verbose: str = "", *, pinned: bool = False) -> BlenderMissing | DiskFull:
    """The error that pip's output and its verbose log stand for. `pinned`: the hashes are a person's, not the index's.

    PURE.
    """
    if any(words in output for words in DISK_FULL):
        return DiskFull(f"{what}: no space left on the device")
    unanswered = NOT_FETCHED.findall(verbose)
    text = "\n".join([*unanswered[-1:], _errors_of(output)])
    # What did not hinder pip in the end counts no more.
    said = "\n".join([*unanswered, *(line for line in output.splitlines() if "Retrying (" not in line)])
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return BlenderMissing(f"{what}: {text}")
    if PASSING.search(said) or (not pinned and any(words in output for words in BROKEN_OFF)):
        return BlenderUnfetched(f"{what}: {text}")
    if NO_WHEEL in output and not unanswered:
        return NoWheel(f"{what}: {text}")
    return BlenderMissing(f"{what}: {text}")


def _errors_of(output: str) -> str:
    """pip's ERROR lines, or the end of its output: there it names what it has no words for."""
    lines = output.splitlines()
    errors = [line for line in lines if line.startswith(("ERROR", "Error")) and line != "ERROR: Exception:"]
    return ("\n".join(errors) or output.strip())[-OUTPUT_TAIL:]


def remove_abandoned(folder: Path) -> None:
    """Drop what installations left behind whose process is gone."""
    for path in folder.glob(f"{PARTIAL_PREFIX}*-*"):
        owner = path.name.removeprefix(PARTIAL_PREFIX).split("-")[0]
        if owner.isdigit() and _is_abandoned(path, int(owner)):
            shutil.rmtree(path, ignore_errors=True)


def _is_abandoned(path: Path, owner: int) -> bool:
    # A container that starts again gives out the same process ids.
    if owner == os.getpid():
        with _ours_lock:
            return path.name not in _ours
    return not psutil.pid_exists(owner)
