"""The way of a scene into a farm, the same for every command that submits: look, refuse, hash, upload, submit."""

from __future__ import annotations

from pathlib import Path

from blendnet import exactness
from blendnet.agent.blenders import Build
from blendnet.cli import output
from blendnet.cli.place import Place, place_of
from blendnet.cli.progress import bytes_progress, describe
from blendnet.cli.scene import (
    Inspection,
    check_complete,
    check_renderable,
    check_scene_file,
    find_build,
    inspect,
    missing_text,
)
from blendnet.cli.submission import Choices, Parcel, frames_of, job_settings
from blendnet.client import ManagerClient
from blendnet.errors import UserError
from blendnet.messages import JobView


class Submission:
    """One scene on its way. What can be refused is refused as early as it can be known."""

    def __init__(self, scene: Path, *, wanted: str | None, choices: Choices, output_dir: Path | None) -> None:
        """Check what needs no Blender.

        Raises:
            UserError: bad frames, not a scene, or an output folder that cannot be written to.
            BlenderMissing: no such Blender on this machine.
        """
        frames_of(choices)
        self._scene = check_scene_file(scene)
        self._build = find_build(wanted)
        self._choices = choices
        self._output = output_dir
        if output_dir:
            Place(output_dir.expanduser().absolute(), "").check_writable()

    def look(self) -> tuple[Inspection, Place]:
        """Ask Blender about the scene and check the answer; where its results go.

        Raises:
            SceneError: it cannot be rendered; the text says what to change.
            UserError: its output folder cannot be written to.
        """
        inspection = look_at(self._scene, self._build, self._choices)
        place = place_of(self._scene, inspection.description, self._output)
        place.check_writable()
        return inspection, place

    def send(self, client: ManagerClient, inspection: Inspection, *, quiet: bool) -> JobView:
        """Bring the scene's files to the Manager and start the job."""
        parcel = Parcel(inspection)
        with bytes_progress("Reading", parcel.total_bytes, quiet=quiet) as progress:
            parcel.hash(progress)
        with bytes_progress("Uploading", parcel.total_bytes, quiet=quiet) as progress:
            sent = parcel.upload(client, progress)
        output.say(f"{output.plural(parcel.count, 'file')}, {output.size(parcel.total_bytes)}; {sent} uploaded.")
        job = parcel.send(client, inspection, self._choices)
        output.say(describe(job))
        for text in job.warnings:
            output.say(f"Warning: {text}.")
        return job


def look_at(scene: Path, build: Build, choices: Choices) -> Inspection:
    """Ask Blender about a scene and refuse what cannot be rendered. Warnings are said.

    Raises:
        SceneError: it cannot be rendered; the text says what to change.
    """
    output.say(f"Opening {scene.name} with Blender {build.version} ...")
    inspection = inspect(scene, build)
    check_renderable(inspection)
    if not choices.allow_missing:
        check_complete(inspection)
    elif inspection.missing:
        output.say(f"Warning: {missing_text(inspection.path, inspection.missing)}")
    for text in exactness.warnings(inspection.description):
        output.say(f"Warning: {text}.")
    job_settings(inspection, choices)
    return inspection


def check_not_both(resume: str | None, scene: Path | None) -> None:
    """A scene or a job to go on with has to be named. Raises UserError."""
    if resume is None and scene is None:
        raise UserError("name a scene to render, as in `blendnet render scene.blend`, or a job with --resume")
