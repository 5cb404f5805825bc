"""Where a job's results go on this machine: the folder, the names, and a note so that a later command finds them."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from blendnet.errors import UserError
from blendnet.manager.folder import DataFolder
from blendnet.messages import ResultView, SceneDescription

MERGED_SUFFIX = "_merged.exr"
NOTES = "submitted"
"""Folder in the farm's data folder: one note per job submitted from here."""
_HASHES = re.compile(r"#+(?!.*#)")
"""The last run of '#', as Blender takes it."""


@dataclass(frozen=True)
class Place:
    """Folder and file name of results."""

    directory: Path
    name: str
    """Without extension; '#' for the digits of the frame number."""

    def path_of(self, result: ResultView) -> Path:
        """Where a result goes: as the scene names it; the merged EXR beside the picture as `<name>_merged.exr`."""
        if result.kind == "merged" and result.frame is not None:
            return self.directory / (frame_name(self.name, result.frame) + MERGED_SUFFIX)
        return self.directory / result.path

    def check_writable(self) -> None:
        """Refuse a folder that nothing can be written to, before anything renders. Raises UserError."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.directory):
                pass
        except OSError as error:
            reason = f"cannot write to the output folder {self.directory}: {error.strerror}"
            raise UserError(f"{reason}. Choose another one with --output") from error


def place_of(scene: Path, about: SceneDescription, output: Path | None) -> Place:
    """The folder asked for, else the scene's own; the scene's own names."""
    directory = output or Path(about.output_directory or scene.parent)
    return Place(directory.expanduser().absolute(), about.output_name or "####")


def frame_name(template: str, frame: int) -> str:
    """A file name with the frame number in it, as Blender writes it: '####' and -5 give '-0005'."""
    if "#" not in template:
        template += "####"

    def digits(match: re.Match[str]) -> str:
        return ("-" if frame < 0 else "") + str(abs(frame)).zfill(len(match[0]))

    return _HASHES.sub(digits, template, count=1)


def remember(folder: DataFolder, job_id: str, place: Place) -> None:
    """Note where the results of a job go."""
    notes = folder.root / NOTES
    notes.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = json.dumps({key: str(value) for key, value in asdict(place).items()})
    (notes / f"{job_id}.json").write_text(text, "utf-8")


def recall(folder: DataFolder, job_id: str) -> Place | None:
    """What was noted about a job; None when it was submitted elsewhere."""
    try:
        note = json.loads((folder.root / NOTES / f"{job_id}.json").read_text("utf-8"))
        return Place(Path(note["directory"]), note["name"])
    except (OSError, ValueError, KeyError):
        return None


def forget(folder: DataFolder, job_id: str) -> None:
    """Remove the note of a job."""
    (folder.root / NOTES / f"{job_id}.json").unlink(missing_ok=True)
