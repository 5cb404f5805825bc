"""Looking at a scene before anything renders: is it one, what does Blender say about it, which files does it need."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from blendnet.agent import blenders
from blendnet.agent.blender import WarmBlender
from blendnet.agent.blenders import Build
from blendnet.errors import BlenderCrashed, BlenderError, BlenderTimeout, MissingFiles, SceneError
from blendnet.messages import Message, SceneDescription
from blendnet.settings import get_settings

MAGIC = (b"BLENDER", b"\x1f\x8b", b"\x28\xb5\x2f\xfd")
"""First bytes of a .blend: plain, or compressed with gzip (before 3.0) or zstd."""
HEADER = re.compile(rb"BLENDER(?:\d\d)?[-_](?:\d\d)?[vV](\d{3,4})")
"""'BLENDER-v405', from 5.0 on 'BLENDER17-01v0500'."""
DESCRIBE_TIMEOUT_S = 600.0
LISTED = 20
"""Missing files named in a message; the rest is counted."""


class NeededFile(Message):
    """A file the scene refers to."""

    path: str
    kind: str
    """'scene', 'image', 'library', ..."""
    missing: bool = False
    user: str = ""
    """The datablock that refers to it."""


@dataclass(frozen=True)
class Inspection:
    """What is known of a scene before it is submitted."""

    path: Path
    build: Build
    description: SceneDescription
    files: tuple[NeededFile, ...]

    @property
    def missing(self) -> list[NeededFile]:
        return [file for file in self.files if file.missing]


def check_scene_file(path: Path) -> Path:
    """The absolute path of a .blend file, without "..".

    Raises:
        SceneError: it is not there, cannot be read, or is something else.
    """
    path = path.expanduser().absolute()
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise SceneError(f"cannot read the scene {path}: {error.strerror}") from error
    if not head.startswith(MAGIC):
        raise SceneError(f"{path} is not a .blend file: it does not begin as one")
    # What is above a link's target the name alone does not tell.
    return path.parent.resolve() / path.name if ".." in path.parts else path


def find_build(wanted: str | None) -> Build:
    """The Blender to use. Raises BlenderMissing, which names the command that mends it.

    A program named by its path becomes known: agents look for the version that a job names.
    """
    settings = get_settings()
    build = blenders.find(wanted or settings.blender, settings.blenders_dir)
    if build not in blenders.known(settings.blenders_dir):
        blenders.register(build.path, settings.blenders_dir)
    return build


def inspect(path: Path, build: Build) -> Inspection:
    """Open a scene and ask Blender about it.

    Raises:
        SceneError: Blender cannot open it or the answer is unusable.
    """
    with opened(path, build) as blender:
        description = _ask(blender, path, "describe")
        files = _files(blender, path)
    try:
        return Inspection(path, build, SceneDescription.model_validate(description), files)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise SceneError(f"{path.name} cannot be rendered: {where} is {problem['input']!r}") from error


def needed_files(path: Path, build: Build) -> tuple[NeededFile, ...]:
    """The files a scene refers to, itself first. Raises SceneError when Blender cannot open it."""
    with opened(path, build) as blender:
        return _files(blender, path)


@contextmanager
def opened(path: Path, build: Build) -> Iterator[WarmBlender]:
    """A Blender of our own with the scene open; scripts of the file do not run."""
    settings = get_settings()
    with tempfile.TemporaryDirectory(prefix="blendnet-look-") as folder:
        work = Path(folder)
        with WarmBlender(
            build,
            workdir=work,
            threads=0,
            start_timeout_s=settings.blender_start_timeout_s,
            log_path=work / "blender.log",
        ) as blender:
            _ask(blender, path, "open", path=str(path), root_from="", root_to="", scripts=False)
            yield blender


def check_renderable(inspection: Inspection) -> None:
    """Refuse what Cycles cannot render.

    Raises:
        SceneError: another engine, or no camera.
    """
    name, about = inspection.path.name, inspection.description
    if about.engine != "CYCLES":
        raise SceneError(f"{name} renders with {about.engine}: switch its Render Engine to Cycles and save it")
    if not about.has_camera:
        raise SceneError(f"{name} has no camera: add one, make it the scene's camera, and save")


def check_complete(inspection: Inspection) -> None:
    """Refuse a scene whose files are not all there.

    Raises:
        MissingFiles: names them.
    """
    missing = inspection.missing
    if missing:
        raise MissingFiles(missing_text(inspection.path, missing), tuple(file.path for file in missing))


def missing_text(path: Path, missing: list[NeededFile]) -> str:
    """One sentence and a list for missing files."""
    lines = [f"  {file.path} ({' '.join(filter(None, (file.kind, file.user)))})" for file in missing[:LISTED]]
    more = [f"  ... and {len(missing) - LISTED} more"] if len(missing) > LISTED else []
    return "\n".join(
        [
            f"{path.name} needs {len(missing)} file{'s' if len(missing) > 1 else ''} that cannot be found"
            " (find them in Blender: File > External Data > Find Missing Files; or --allow-missing):",
            *lines,
            *more,
        ]
    )


def _files(blender: WarmBlender, path: Path) -> tuple[NeededFile, ...]:
    answer = _ask(blender, path, "dependencies")
    return tuple(TypeAdapter(list[NeededFile]).validate_python(answer["files"], extra="ignore"))


def _ask(blender: WarmBlender, scene: Path, do: str, **args: Any) -> dict[str, Any]:
    """One answer of Blender; what goes wrong is the scene's fault as far as its owner can tell."""
    try:
        return blender.call(do, timeout_s=DESCRIBE_TIMEOUT_S, **args)
    except (BlenderCrashed, BlenderTimeout) as error:
        raise SceneError(f"Blender failed on {scene}: {error}{_newer(scene, blender.build)}") from error
    except BlenderError as error:
        raise SceneError(f"{scene.name} cannot be used: {error}{_newer(scene, blender.build)}") from error


def saved_by(head: bytes) -> tuple[int, int] | None:
    """(major, minor) of the Blender that wrote a file with these first bytes; None when it is compressed."""
    found = HEADER.match(head)
    return divmod(int(found[1]), 100) if found else None


def _newer(scene: Path, build: Build) -> str:
    """A likely reason: the file is newer than the Blender that was to open it."""
    with scene.open("rb") as file:
        version = saved_by(file.read(20))
    if version is None or version <= build.order[:2]:
        return ""
    saved = ".".join(map(str, version))
    return f". Blender {saved} saved it, and this is {build.version}: use --blender {saved}"
