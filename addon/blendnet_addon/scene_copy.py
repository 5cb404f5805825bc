"""The open scene as a job wants it: looked at, and saved as a copy. The artist's file and undo steps stay untouched."""

import os

import bpy

from . import log_text, picture, unsaved, view_engine
from .in_blender import dependencies, describe, finish_tree
from .in_blender.overrides import Overrides
from .lib import baking
from .lib.errors import DiskError, MissingFiles, SceneError
from .lib.temporary import COPY_PREFIX, TemporaryFolder

LISTED = 5
"""Missing files named in a message; the rest is counted."""


class Prepared:
    """A scene ready to be sent."""

    def __init__(self, path, folder, copy, description, needed, warnings, merged=None, homes=None):
        """`folder`: lib.temporary.TemporaryFolder with the `copy`."""
        self.path = path
        """Where its author keeps it, or would."""
        self._folder = folder
        self.copy = copy
        """The file to send."""
        self.description = description
        self.needed = needed
        """Paths of the other files."""
        self.warnings = warnings
        self.merged = merged
        """As lib.choices.Choices."""
        self.homes = homes
        """Where files of File Output nodes go, as lib.places.path_of."""

    def clean(self):
        """Delete the copy."""
        self._folder.remove()


def check(scene):
    """Refuse what Cycles cannot render. Raises SceneError."""
    if view_engine.is_busy():
        raise SceneError("a picture is on its way into the Render Result: wait a moment")
    if scene.render.engine != "CYCLES":
        raise SceneError(f"{scene.name} renders with {scene.render.engine}: switch its Render Engine to Cycles")
    if scene.camera is None and not any(marker.camera for marker in scene.timeline_markers):
        raise SceneError(f"{scene.name} has no camera: add one and make it the scene's camera")


def prepare(allow_missing, choices):
    """Look at the open scene and save a copy of it that has the `choices` (lib.choices.Choices).

    Raises SceneError, MissingFiles, DiskError.
    """
    picture.hide()
    log_text.remove()
    overrides, output = Overrides(), Overrides()
    try:
        choices.put(overrides, bpy.context.scene)
        check(bpy.context.scene)
        found = [entry for entry in dependencies.collect_open_scene() if entry["kind"] != "scene"]
        missing = [entry for entry in found if entry["missing"]]
        if missing and not allow_missing:
            raise MissingFiles(_missing_text(missing), [entry["path"] for entry in missing])
        choices.put_output(output, bpy.context.scene)
        description = describe.describe()
        output.restore()
        folder, copy = _save_copy()
    finally:
        output.restore()
        overrides.restore()
        picture.unhide()
    path = bpy.data.filepath or copy
    needed = [entry["path"] for entry in found if not entry["missing"]]
    # Who names another output wants all of it there.
    homes = {} if choices.output else _homes(bpy.context.scene)
    return Prepared(path, folder, copy, description, needed, _warnings(), choices.merged, homes)


def _save_copy():
    """(lib.temporary.TemporaryFolder, path of the copy in it). Raises DiskError."""
    try:
        folder = TemporaryFolder(COPY_PREFIX)
    except OSError as error:
        raise DiskError(f"cannot make a folder for the copy to send ({error.strerror}): make room") from error
    path = os.path.join(folder.path, os.path.basename(bpy.data.filepath) or "untitled.blend")
    unsaved.keep()
    try:
        # Paths stay as they are: in the job's tree the copy lies where the author's file does.
        bpy.ops.wm.save_as_mainfile(filepath=path, check_existing=False, copy=True, relative_remap=False)
    except RuntimeError as error:
        folder.remove()
        raise DiskError(f"Blender cannot save a copy to send ({str(error).strip()}): make room") from error
    return folder, path


def _homes(scene):
    """Where the scene's File Output nodes write on this computer; what only a render resolves is left out."""
    if not describe.uses_compositor(scene):
        return {}
    bases = finish_tree.file_output_bases(scene)
    homes = {begin: bpy.path.abspath(base) for begin, base in bases.items() if "{" not in base}
    return {begin: home for begin, home in homes.items() if os.path.isabs(home)}


def _missing_text(missing):
    names = [f"{os.path.basename(entry['path'])} ({entry['user'] or entry['kind']})" for entry in missing[:LISTED]]
    more = f" and {len(missing) - LISTED} more" if len(missing) > LISTED else ""
    return (
        f"files of the scene are missing: {', '.join(names)}{more}. Find them with File > External Data > Find Missing "
        "Files, or switch on Send Without Missing Files"
    )


def _warnings():
    """What the author should know before anything renders."""
    unsaved = [image.name for image in bpy.data.images if image.is_dirty and _is_painted(image)]
    warnings = []
    if unsaved:
        names = ", ".join(unsaved[:LISTED])
        warnings.append(f"images with changes that are not saved are sent as they are on disk: {names}")
    simulations = baking.note(baking.unbaked(bpy.data.objects, bpy.data.scenes))
    return warnings + ([simulations] if simulations else [])


def _is_painted(image):
    return image.name != picture.IMAGE_NAME and image.type not in ("RENDER_RESULT", "COMPOSITING") and image.users > 0
