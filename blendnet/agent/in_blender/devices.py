"""Compute devices: what this Blender can render on, and choosing one. An absent GPU is an error, never a CPU render."""

from .trouble import Trouble

GPU_TYPES = ("OPTIX", "CUDA", "HIP", "METAL", "ONEAPI", "OPENCL")
"""Tried in this order for 'GPU'."""


def available():
    """['CPU', 'OPTIX: NVIDIA L4', ...]: the device types with the names of their devices."""
    found = ["CPU"]
    for kind in _built_in_types():
        found += ["%s: %s" % (kind, device.name) for device in _devices(kind)]
    return found


def use(overrides, scene, wanted):
    """Render on `wanted`: 'CPU', 'GPU' (the first type that has devices) or a type of GPU_TYPES.

    Raises Trouble('device') when there is none.
    """
    if wanted == "CPU":
        overrides.put(scene.cycles, "device", "CPU")
        return
    kinds = [kind for kind in _built_in_types() if wanted in ("GPU", kind)]
    for kind in kinds:
        devices = _devices(kind)
        if devices:
            _switch_to(kind, devices)
            overrides.put(scene.cycles, "device", "GPU")
            return
    raise Trouble(
        "device",
        "the job wants to render on %s, but Blender on this machine offers only %s: choose one of these with --device, "
        "or add an agent on a machine that offers %s" % (wanted, ", ".join(available()), wanted),
    )


def _preferences():
    import bpy

    return bpy.context.preferences.addons["cycles"].preferences


def _built_in_types():
    """GPU types this build was made with, best first."""
    import bpy

    names = [item[0] for item in _preferences().get_device_types(bpy.context)]
    return [kind for kind in GPU_TYPES if kind in names]


def _devices(kind):
    """Devices of one type that are on this machine, the CPU left out."""
    preferences = _preferences()
    if hasattr(preferences, "get_devices_for_type"):
        found = preferences.get_devices_for_type(kind)
    else:
        preferences.get_devices()
        found = [device for device in preferences.devices if device.type == kind]
    return [device for device in found if device.type == kind]


def _switch_to(kind, devices):
    """Tick the devices of one type; a CPU beside a GPU would make chunks of a frame differ."""
    preferences = _preferences()
    preferences.compute_device_type = kind
    names = {device.id for device in devices}
    for device in preferences.devices:
        device.use = device.type == kind and device.id in names
