"""What a scene keeps for its jobs, and what scripts may read: the last job, all jobs, the last message."""

import json

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from . import classes, runtime

STRATEGIES = (
    ("auto", "Automatic", "BlendNet decides"),
    ("split", "Share Frames", "Several agents render samples of the same frame"),
    ("frame", "Whole Frames", "Each agent renders frames of its own"),
)
DEVICES = tuple((name, label, f"Render on {label}; an error when no agent has it") for name, label in (
    ("CPU", "CPU"), ("CUDA", "CUDA"), ("OPTIX", "OptiX"), ("HIP", "HIP"), ("METAL", "Metal"), ("ONEAPI", "oneAPI"),
))  # fmt: skip
FORMATS = (
    ("PNG", "PNG", "Compressed without loss, 8 or 16 bits"),
    ("JPEG", "JPEG", "Small, 8 bits, with loss"),
    ("TIFF", "TIFF", "8 or 16 bits without loss"),
    ("OPEN_EXR", "OpenEXR", "The picture in floating point"),
    ("OPEN_EXR_MULTILAYER", "OpenEXR MultiLayer", "Every view layer and pass in floating point"),
)

MERGED = (
    ("PREFERENCES", "As in the Preferences", "What the add-on's preferences say"),
    ("FETCH", "Fetch", "Bring the merged frame with all its passes home, as NAME_merged.exr beside the picture"),
    ("LEAVE", "Leave on the Farm", "Bring the pictures alone"),
)


def _is_camera(_, thing):
    return thing.type == "CAMERA"


class BlendNetSceneSettings(bpy.types.PropertyGroup):
    """Choices for the jobs of a scene; the scene itself stays as it is."""

    use_samples: BoolProperty(name="Samples", description="Render with other samples than the scene's")
    samples: IntProperty(name="Samples", description="Samples of every frame", default=128, min=1, max=1 << 24)
    use_resolution: BoolProperty(name="Resolution", description="Render in another size than the scene's")
    resolution: IntProperty(
        name="Resolution", description="Percentage of the scene's full size", default=100, min=1, max=1000,
        subtype="PERCENTAGE",
    )  # fmt: skip
    use_frames: BoolProperty(name="Frames", description="Animation: render other frames than the scene's")
    frame_start: IntProperty(name="Start", description="First frame", default=1, min=-1048574, max=1048574)
    frame_end: IntProperty(name="End", description="Last frame", default=10, min=-1048574, max=1048574)
    frame_step: IntProperty(name="Step", description="Take every Nth frame only", default=1, min=1, max=1048574)
    use_noise: BoolProperty(name="Noise Target", description="Render with another noise threshold than the scene's")
    noise: FloatProperty(
        name="Noise Target", description="Cycles' noise threshold: pixels below it get no more samples, so sharing "
        "frames gives other noise than one machine. 0: every pixel gets all samples, which is shared exactly",
        default=0.0, min=0.0, max=1.0, precision=4, step=1,
    )  # fmt: skip
    use_camera: BoolProperty(name="Camera", description="Render through another camera than the scene's")
    camera: PointerProperty(
        name="Camera", description="Camera of every frame; cameras of timeline markers do not take over",
        type=bpy.types.Object, poll=_is_camera,
    )  # fmt: skip
    use_format: BoolProperty(name="Format", description="Save pictures in another format than the scene's")
    file_format: EnumProperty(name="Format", description="Format of every picture", items=FORMATS)
    use_output: BoolProperty(name="Output", description="Bring pictures to another place than the scene's output")
    output: StringProperty(
        name="Output", description="Folder and name of the pictures, as in Blender's own Output: # stands for a digit "
        "of the frame number", default="//blendnet/", subtype="FILE_PATH",
    )  # fmt: skip
    merged: EnumProperty(
        name="Multilayer EXRs", description="Whether merged frames with all passes come home, too", items=MERGED
    )
    use_chunk: BoolProperty(
        name="Samples per Chunk", description="Share frames in chunks of so many samples instead of BlendNet's choice"
    )
    chunk: IntProperty(
        name="Samples per Chunk", description="Samples of a frame that an agent takes at a time; not for whole frames",
        default=32, min=1, max=1 << 24,
    )  # fmt: skip
    use_agents: BoolProperty(name="Agents at Once", description="Leave the farm's other agents to other jobs")
    agents: IntProperty(
        name="Agents at Once", description="The most agents that work on the job at the same time", default=1, min=1,
        max=100000,
    )  # fmt: skip
    scripts: BoolProperty(
        name="Run Scripts of the File", description="Let agents run the Python scripts and drivers in this file, as "
        "Blender's Auto Run Python Scripts does. Only for files that you trust",
    )  # fmt: skip
    priority: IntProperty(
        name="Priority", description="Jobs with a higher number go first; 50 is usual", default=50, min=0, max=100
    )
    use_cap: BoolProperty(name="Cap", description="Pause the job before it costs more")
    cap: FloatProperty(
        name="Cap", description="The most that the job may cost, in US dollars", default=5.0, min=0.01, max=1e6,
        precision=2,
    )  # fmt: skip
    strategy: EnumProperty(name="Strategy", description="How agents share the work", items=STRATEGIES)
    device: EnumProperty(name="Device", description="What renders", items=DEVICES)
    blender: StringProperty(
        name="Blender", description="Version of the farm that renders, such as 4.5; empty: the one that is open here"
    )
    allow_missing: BoolProperty(
        name="Send Without Missing Files", description="Render although files that the scene needs cannot be found"
    )


def _last_job(_):
    return runtime.get().last_job


def _jobs(_):
    return json.dumps(runtime.get().jobs)


def _estimate(_):
    estimate = runtime.get().estimate
    return "" if estimate is None else json.dumps(estimate["view"])


def _message(_):
    return runtime.get().message


CLASSES = (BlendNetSceneSettings,)


def register():
    classes.register_all(CLASSES)
    bpy.types.Scene.blendnet = PointerProperty(type=BlendNetSceneSettings, name="BlendNet")
    # Computed: nothing of them is stored in a file.
    bpy.types.WindowManager.blendnet_job = StringProperty(
        name="Last Job", description="Id of the job that was sent last", get=_last_job
    )
    bpy.types.WindowManager.blendnet_jobs = StringProperty(
        name="Jobs", description="All jobs of the farm, as JSON", get=_jobs
    )
    bpy.types.WindowManager.blendnet_estimate = StringProperty(
        name="Estimate", description="What the last scene that was asked about will take, as JSON", get=_estimate
    )
    bpy.types.WindowManager.blendnet_message = StringProperty(
        name="Message", description="What BlendNet said last", get=_message
    )


def unregister():
    for name in ("blendnet_message", "blendnet_estimate", "blendnet_jobs", "blendnet_job"):
        delattr(bpy.types.WindowManager, name)
    del bpy.types.Scene.blendnet
    classes.unregister_all(CLASSES)
