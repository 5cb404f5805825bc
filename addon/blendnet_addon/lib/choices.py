"""What a job has otherwise than its scene. Put into the scene while the copy to send is saved, then taken back.

Knows no bpy: `scene` is Blender's, or anything with the same attributes.
"""

from .errors import SceneError

ADAPTIVE = ("use_adaptive_sampling", "adaptive_threshold")
FORMAT_MAKES = ("media_type", "file_format", "color_mode", "color_depth")
"""Image settings that Blender changes by itself when the format changes; the first since 5.0."""
MULTILAYER = "OPEN_EXR_MULTILAYER"


class Choices:
    """Settings that a farm takes from the scene's file, so the file that is sent has them; and where pictures go."""

    def __init__(self, camera="", noise=None, file_format="", output="", merged=None):
        """Each one empty: the scene's own.

        `camera`: an object's name; `noise`: Cycles' noise threshold, 0.0: every pixel gets all samples;
        `file_format`: Blender's identifier, 'PNG'; `output`: a path as Blender's own Output, '//shots/take2_####';
        `merged`: whether multilayer EXRs come home, None: as the preferences say.
        """
        self.camera = camera
        self.noise = noise
        self.file_format = file_format
        self.output = output
        self.merged = merged

    def put(self, overrides, scene):
        """Change the scene by `overrides` (in_blender's Overrides), which has the way back. Raises SceneError."""
        if self.camera:
            self._put_camera(overrides, scene)
        if self.noise is not None:
            self._put_noise(overrides, scene)
        if self.file_format:
            self._put_format(overrides, scene.render.image_settings)

    def put_output(self, overrides, scene):
        """Let the scene be described with another output. The file that is sent keeps its own: it stays the same file
        for the farm, wherever its pictures go.
        """
        if self.output:
            overrides.put(scene.render, "filepath", self.output)

    def _put_camera(self, overrides, scene):
        camera = scene.objects.get(self.camera)
        if camera is None or camera.type != "CAMERA":
            raise SceneError(f"{scene.name} has no camera {self.camera!r}: choose another one in BlendNet's Choices")
        for marker in scene.timeline_markers:
            # A marker's camera would take over at its frame.
            overrides.put(marker, "camera", None)
        overrides.put(scene, "camera", camera)

    def _put_noise(self, overrides, scene):
        for name in ADAPTIVE:
            if is_animated(scene, "cycles." + name):
                raise SceneError(
                    f"the noise threshold of {scene.name} is animated: clear that animation, or switch off Own Noise "
                    "Target in BlendNet's Choices"
                )
        cycles = scene.cycles
        overrides.put(cycles, "use_adaptive_sampling", self.noise > 0.0)
        if self.noise > 0.0:
            overrides.put(cycles, "adaptive_threshold", self.noise)

    def _put_format(self, overrides, settings):
        overrides.keep(settings, *FORMAT_MAKES)
        overrides.put(settings, "media_type", "MULTI_LAYER_IMAGE" if self.file_format == MULTILAYER else "IMAGE")
        try:
            overrides.put(settings, "file_format", self.file_format)
        except TypeError as error:
            raise SceneError(f"this Blender cannot write {self.file_format}: choose another format") from error


def is_animated(scene, path):
    """Whether a property of the scene changes with the frame, so that another value would not last."""
    data = scene.animation_data
    if data is None:
        return False
    curves = list(data.drivers)
    if data.action is not None:
        curves += _curves(data.action)
    return any(curve.data_path == path for curve in curves)


def _curves(action):
    """The curves of an action; since 4.4 they are in layers."""
    if not hasattr(action, "layers"):
        return list(action.fcurves)
    bags = [bag for layer in action.layers for strip in layer.strips for bag in strip.channelbags]
    return [curve for bag in bags for curve in bag.fcurves]


def check_sharing(strategy, chunk_samples):
    """Refuse samples per chunk where nothing is split. Raises SceneError."""
    if chunk_samples is not None and strategy == "frame":
        raise SceneError(
            "whole frames are not split into chunks: switch off Own Samples per Chunk, or choose another Strategy"
        )
