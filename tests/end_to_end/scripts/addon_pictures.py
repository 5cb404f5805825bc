"""Run inside Blender: pictures of jobs without a window, live, finished and in Blender's own Render Result.

Argument after --: JSON with zip, how ('legacy' or 'extension'), scene, farm (data folder), command, folder. What the
test outside compares is left in `folder`.
"""

import glob
import json
import os
import shutil
import sys
import tempfile
import time

import bpy

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from addon_parts import installed, refused

plan = json.loads(sys.argv[sys.argv.index("--") + 1])
FOLDER, TIMES = plan["folder"], 200
tempfile.tempdir = os.path.join(FOLDER, "temporary")
os.mkdir(tempfile.tempdir)
LONG = 20000
"""Samples of a job that is not done while it is looked at."""
GREEN = (0.0, 1.0, 0.0, 1.0)
SEEN = 400
"""Samples after which noise no longer hides a wrong view transform."""
KEPT = "blendnet_view"
"""A scene's property while it has a frame's settings."""
ops = bpy.ops.blendnet


def compositor(scene):
    """The scene's compositor tree; None: it has none."""
    return scene.compositing_node_group if hasattr(scene, "compositing_node_group") else scene.node_tree


def tree(scene):
    """(nodes with their sockets, links) of the compositor."""
    own = compositor(scene)
    nodes = [(node.name, [socket.identifier for socket in node.outputs]) for node in own.nodes]
    links = [(link.from_node.name, link.from_socket.name, link.to_node.name) for link in own.links]
    return sorted(nodes), sorted(links)


def state():
    """Everything that a view may not change."""
    scene, render = bpy.context.scene, bpy.context.scene.render
    names = ("resolution_x", "resolution_y", "resolution_percentage", "use_border", "use_crop_to_border")
    names += ("border_min_x", "use_compositing", "use_sequencer", "use_persistent_data", "filepath", "engine")
    cycles = {
        name: str(getattr(scene.cycles, name)) for name in dir(scene.cycles) if name.startswith(("use_", "samples"))
    }
    layers = [(layer.name, layer.use) for layer in scene.view_layers]
    own = {name: getattr(render, name) for name in names}
    own.update(format=render.image_settings.file_format, frame=scene.frame_current, dirty=bpy.data.is_dirty)
    return dict(own, cycles=cycles, layers=layers, tree=tree(scene), scenes=len(bpy.data.scenes), kept=KEPT in scene)


def add_passes_and_compositor():
    """Two view layers, a compositor that uses a pass of Cycles and turns the picture green, and a File Output node."""
    scene = bpy.context.scene
    scene.view_settings.view_transform = "Filmic" if bpy.app.version < (4, 0, 0) else "AgX"
    scene.view_settings.exposure = 0.7
    first = scene.view_layers[0]
    for name in ("use_pass_z", "use_pass_normal", "use_pass_diffuse_color"):
        setattr(first, name, True)
    if hasattr(first, "use_pass_cryptomatte_object"):
        first.use_pass_cryptomatte_object = True
    else:
        first.cycles.use_pass_crypto_object = True
    scene.view_layers.new("Second.001").use_pass_mist = True
    (compose_in_5 if hasattr(scene, "compositing_node_group") else compose)(scene)
    assert bpy.ops.wm.save_mainfile() == {"FINISHED"}


def compose(scene):
    scene.use_nodes = True
    nodes, links = scene.node_tree.nodes, scene.node_tree.links
    source, target = nodes["Render Layers"], nodes["Composite"]
    mix = nodes.new("CompositorNodeMixRGB")
    mix.inputs[0].default_value, mix.inputs[2].default_value = 0.5, GREEN
    links.new(source.outputs["Image"], mix.inputs[1])
    links.new(mix.outputs[0], target.inputs[0])
    file = nodes.new("CompositorNodeOutputFile")
    file.base_path = os.path.join(FOLDER, "nodes")
    links.new(source.outputs["DiffCol"], file.inputs[0])


def compose_in_5(scene):
    """The same where the compositor is a node group with an output of its own."""
    group = scene.compositing_node_group = bpy.data.node_groups.new("Compositor", "CompositorNodeTree")
    group.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
    nodes, links = group.nodes, group.links
    source, target = nodes.new("CompositorNodeRLayers"), nodes.new("NodeGroupOutput")
    source.scene = scene
    mix = nodes.new("ShaderNodeMix")
    mix.data_type, mix.blend_type = "RGBA", "MIX"
    mix.inputs[0].default_value, mix.inputs[7].default_value = 0.5, GREEN
    links.new(source.outputs["Image"], mix.inputs[6])
    links.new(mix.outputs[2], target.inputs[0])
    file = nodes.new("CompositorNodeOutputFile")
    file.directory, file.format.media_type = os.path.join(FOLDER, "nodes"), "IMAGE"
    file.file_output_items.new("RGBA", "DiffCol")
    links.new(source.outputs["Diffuse Color"], file.inputs["DiffCol"])


def rendered(**choices):
    """A finished job's id."""
    ops.render(noise=0.0, **choices)
    job_id = bpy.context.window_manager.blendnet_job
    ops.watch(job=job_id, timeout_s=200)
    return job_id


def save_image(image, name, file_format):
    """Save an image as Blender's Save As Render does, and see to it that the scene does not notice."""
    settings = bpy.context.scene.render.image_settings
    before = (settings.file_format, settings.color_mode, settings.color_depth)
    if hasattr(settings, "media_type"):
        settings.media_type = "MULTI_LAYER_IMAGE" if file_format == "OPEN_EXR_MULTILAYER" else "IMAGE"
    settings.file_format = file_format
    settings.color_mode = "RGBA" if file_format != "PNG" else "RGB"
    settings.color_depth = "32" if file_format != "PNG" else "16"
    image.save_render(os.path.join(FOLDER, name), scene=bpy.context.scene)
    if hasattr(settings, "media_type"):
        settings.media_type = "IMAGE"
    settings.file_format = before[0]
    settings.color_mode, settings.color_depth = before[1:]


def save_result(name):
    result = bpy.data.images["Render Result"]
    save_image(result, name + ".exr", "OPEN_EXR_MULTILAYER")
    save_image(result, name + ".png", "PNG")


def view(job_id, name, **frame):
    """View a frame in the Render Result and save that: <name>.exr and <name>.png."""
    before = state()
    assert ops.view_result(job=job_id, **frame) == {"FINISHED"}
    after = state()
    assert before == after, {name: (before[name], after[name]) for name in before if before[name] != after[name]}
    save_result(name)


def preview():
    return bpy.data.images["BlendNet Preview"]


def finished_pictures(job_id):
    """The finished frame as the scene saves it, and the merged one."""
    ops.picture(job=job_id, frame=2)
    assert (preview().type, preview().size[:]) == ("IMAGE", (96, 64)), preview().type
    assert (preview().use_view_as_render, preview().colorspace_settings.name) == (False, "sRGB")
    shutil.copyfile(bpy.path.abspath(preview().filepath), os.path.join(FOLDER, "picture.png"))
    ops.picture(job=job_id, frame=2, kind="LAYERS")
    list(preview().size)  # Now it is read; of a multilayer image Blender tells no size outside an editor.
    assert preview().type == "MULTILAYER", preview().type
    assert preview().use_view_as_render
    ops.picture(job=job_id)
    assert len([image for image in bpy.data.images if image.name.startswith("BlendNet")]) == 1
    refused("has no frame 77", ops.picture, job=job_id, frame=77)
    ops.picture(job=job_id, frame=1)
    module = sys.modules[MODULE + ".picture"]
    ops.watch_step(step=1)
    assert module.wish(job_id).number == 2
    ops.watch_step(step=1)
    assert module.wish(job_id).number == 2
    ops.watch_step(step=-1)
    assert module.wish(job_id).number == 1
    ops.watch_step(step=0)
    assert module.wish(job_id).number is None
    ops.watch_frame(frame=2)
    ops.watch_kind(kind="LAYERS")
    assert (module.wish(job_id).number, module.wish(job_id).kind) == (2, "LAYERS")
    ops.unwatch()
    assert "BlendNet Preview" not in bpy.data.images
    refused("poll() failed", ops.watch_step)


def linear_format():
    """A finished frame in a linear format goes through the scene's view transform."""
    job_id = rendered(file_format="OPEN_EXR", name="linear")
    ops.picture(job=job_id)
    assert (preview().use_view_as_render, preview().is_float) == (True, True)
    save_image(preview(), "linear.png", "PNG")
    ops.unwatch()


def border(job_id):
    """A render border, cropped or not, does not disturb what another job's frame shows, nor that of its own."""
    render = bpy.context.scene.render
    render.use_border, render.border_min_x, render.border_max_x = True, 0.25, 0.75
    for crop in (False, True):
        render.use_crop_to_border = crop
        view(job_id, "bordered_other_%d" % crop)
        view(rendered(name="border %d" % crop), "bordered_%d" % crop)
        os.rename(home("_merged.exr", 1), os.path.join(FOLDER, "bordered_%d_merged.exr" % crop))
    render.use_border = render.use_crop_to_border = False


def home(ending, frame):
    ops.fetch()
    nodes = os.path.join(FOLDER, "nodes")
    written = os.listdir(nodes)
    assert [name for name in written if "%04d" % frame in name], written
    shutil.rmtree(nodes)
    return os.path.join(FOLDER, "out", "pic_%04d%s" % (frame, ending))


def saved_in_between(job_id):
    """What is saved while a view is under way has the scene's own settings."""
    saved = []

    def save(*_):
        # The first save gave everything back: Blender had taken what it needs by then.
        assert bpy.context.scene.render.engine == ("CYCLES" if saved else "BLENDNET_VIEW")
        path = os.path.join(FOLDER, "between_%d.blend" % len(saved))
        bpy.ops.wm.save_as_mainfile(filepath=path, copy=True)
        saved.append(path)

    bpy.app.handlers.render_pre.append(save)
    bpy.app.handlers.render_post.append(save)
    view(job_id, "between")
    bpy.app.handlers.render_pre.remove(save)
    bpy.app.handlers.render_post.remove(save)
    assert len(saved) == 2, saved
    with bpy.data.libraries.load(saved[0]) as (theirs, ours):
        ours.scenes = theirs.scenes
    scene = ours.scenes[0]
    assert (scene.render.engine, scene.render.resolution_percentage) == ("CYCLES", 50), scene.render.engine
    assert [layer.use for layer in scene.view_layers] == [True, True]
    assert scene.render.use_compositing
    bpy.data.scenes.remove(scene)


def saved_by_blender_itself(job_id):
    """A file that Blender saves during a view and tells nobody has the scene's own settings once it is opened."""
    path, before = os.path.join(FOLDER, "by_itself.blend"), state()
    told = sys.modules[MODULE + ".view_engine"]._before_save

    def save(*_):
        if not os.path.exists(path):
            bpy.app.handlers.save_pre.remove(told)
            bpy.ops.wm.save_as_mainfile(filepath=path, copy=True)
            bpy.app.handlers.save_pre.append(told)

    bpy.app.handlers.render_pre.append(save)
    view(job_id, "by_itself")
    bpy.app.handlers.render_pre.remove(save)
    with bpy.data.libraries.load(path) as (theirs, ours):
        ours.scenes = theirs.scenes
    assert (ours.scenes[0].render.engine, KEPT in ours.scenes[0]) == ("BLENDNET_VIEW", True), "it was told"
    bpy.data.scenes.remove(ours.scenes[0])
    bpy.ops.wm.open_mainfile(filepath=path)
    assert state() == before, state()


def strange_words():
    """What somebody else has written where a view's settings are kept does no harm, and is removed."""
    scene = bpy.context.scene
    before = state()
    for text in ("", "[1]", "7", '[[null, "filepath", "/elsewhere", "%s"]]' % scene.render.filepath):
        scene[KEPT] = text
        sys.modules[MODULE + ".view_settings"].restore(scene)
        assert state() == before, state()


def refusals(job_id):
    scene = bpy.context.scene
    camera, scene.camera = scene.camera, None
    refused("has no camera", ops.view_result, job=job_id)
    scene.camera = camera
    refused("has no frame 77", ops.view_result, job=job_id, frame=77)
    for layer in scene.view_layers:
        layer.name = "other " + layer.name
    refused("lacks the picture's view layers", ops.view_result, job=job_id)
    for layer in scene.view_layers:
        layer.name = layer.name[len("other ") :]
    (copy,) = glob.glob(os.path.join(tempfile.gettempdir(), "blendnet-preview-*", "*.exr"))[:1]
    with open(copy, "r+b") as file:
        file.write(b"no EXR at all")
    before = state()
    refused("fetch it again", ops.view_result, job=job_id, frame=2)
    assert before == state()
    os.remove(copy)
    view(job_id, "again", frame=2)


def live():
    """A frame that refines, with the scene's view transform."""
    ops.render(samples=LONG, strategy="split", noise=0.0, name="live")
    job_id = bpy.context.window_manager.blendnet_job
    module, until = sys.modules[MODULE + ".picture"], time.monotonic() + 200
    refused("wait", ops.view_result, job=job_id)
    while module.shown(job_id) is None or module.shown(job_id).frame["preview_samples"] < SEEN:
        assert time.monotonic() < until, "no preview in time"
        try:
            ops.picture(job=job_id)
        except RuntimeError as error:
            if "no picture" not in str(error):
                raise
        time.sleep(0.5)
    ops.steer(verb="cancel", job=job_id)
    assert (preview().use_view_as_render, preview().is_float) == (True, True)
    save_image(preview(), "live.png", "PNG")
    ops.unwatch()


def plain():
    """What F12 shows with the scene as it is: with the compositor, and without."""
    scene = bpy.context.scene
    for name, composited in (("composited", True), ("plain", False)):
        scene.render.use_compositing = composited
        scene.frame_set(2)
        bpy.ops.render.render()
        save_image(bpy.data.images["Render Result"], name + ".png", "PNG")
    scene.render.use_compositing = True


def traces():
    """What is left of the add-on's pictures."""
    lists = [getattr(bpy.app.handlers, name) for name in dir(bpy.app.handlers)]
    calls = [call for calls in lists if isinstance(calls, list) for call in calls]
    handlers = [call for call in calls if "blendnet_addon" in getattr(call, "__module__", "")]
    draws = [draw for draw in bpy.types.IMAGE_HT_header._dyn_ui_initialize() if "blendnet_addon" in draw.__module__]
    files = glob.glob(os.path.join(tempfile.gettempdir(), "blendnet-preview-*"))
    registered = ["BlendNetView"] if hasattr(bpy.types, "BlendNetView") else []
    images = [image.name for image in bpy.data.images if "BlendNet" in image.name]
    return handlers + draws + files + registered + images


MODULE = installed(plan["zip"], plan["how"])


def main():
    bpy.ops.wm.open_mainfile(filepath=plan["scene"])
    scene = bpy.context.scene
    scene.render.filepath = os.path.join(FOLDER, "out", "pic_####")
    scene.render.resolution_percentage = 50
    add_passes_and_compositor()
    ops.use_this_computer(command=plan["command"], data=plan["farm"])
    job_id = rendered(animation=True, frames="1-2", strategy="frame", name="two frames")
    view(job_id, "viewed", frame=2)
    finished_pictures(job_id)
    refusals(job_id)
    saved_in_between(job_id)
    os.rename(home("_merged.exr", 2), os.path.join(FOLDER, "merged.exr"))
    os.rename(home(".png", 2), os.path.join(FOLDER, "home.png"))
    for _ in range(TIMES):
        ops.view_result(job=job_id, frame=2)
    save_result("spammed")
    scene.frame_set(1)
    border(job_id)
    scene.frame_set(2)
    linear_format()
    live()
    saved_by_blender_itself(job_id)
    strange_words()
    assert not os.path.exists(os.path.join(FOLDER, "nodes"))
    plain()
    bpy.ops.preferences.addon_disable(module=MODULE)
    assert traces() == [], traces()
    sys.stdout.flush()


main()
if plan["how"] == "extension":
    os._exit(0)  # The wheel hangs at its end after a render with an engine of ours.
