"""A script that makes, inside Blender, a scene with every kind of file a scene can need, and those files."""

SCENE = """
import math, struct, wave
V5 = bpy.app.version >= (5, 0, 0)
root = args["root"]

def path(name):
    full = os.path.join(root, name)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    return full

def touch(name, text="x"):
    with open(path(name), "w") as file:
        file.write(text)
    return "//" + name

def picture(name):
    image = bpy.data.images.new("made", 4, 4)
    image.filepath_raw = path(name)
    image.file_format = "PNG"
    image.save()
    bpy.data.images.remove(image)
    return path(name)

def image(name, file, source="FILE", **fields):
    block = bpy.data.images.load(file)
    block.name = name
    block.source = source
    for key, value in fields.items():
        setattr(block, key, value)
    return block

def material(name, *images):
    block = bpy.data.materials.new(name)
    block.use_nodes = True
    block.use_fake_user = True
    for picture_block in images:
        node = block.node_tree.nodes.new("ShaderNodeTexImage")
        node.image = picture_block
    return block

def fresh():
    bpy.ops.wm.read_factory_settings(use_empty=True)

def save(name, relative=True):
    bpy.ops.wm.save_as_mainfile(filepath=path(name), relative_remap=relative)

# A library that uses a library.
fresh()
material("Deep", image("deep", picture("lib/textures/deep.png")))
save("lib/inner/deep.blend")
bpy.ops.file.make_paths_relative()
save("lib/inner/deep.blend")
fresh()
save("lib/middle.blend")
with bpy.data.libraries.load(path("lib/inner/deep.blend"), link=True, relative=True) as (source, into):
    into.materials = ["Deep"]
mesh = bpy.data.meshes.new("Middle")
mesh.use_fake_user = True
mesh.materials.append(into.materials[0])
save("lib/middle.blend")

fresh()
save("shot.blend")
scene = bpy.context.scene
with bpy.data.libraries.load(path("lib/middle.blend"), link=True, relative=True) as (source, into):
    into.meshes = ["Middle"]
scene.collection.objects.link(bpy.data.objects.new("Middle", into.meshes[0]))

plain = image("plain", picture("textures/plain.png"))
for number in (1, 2, 10):
    picture("plates/shot.%04d.png" % number)
plates = image("plates", path("plates/shot.0001.png"), "SEQUENCE")
for number in (1001, 1002, 1011):
    picture("udim/skin.%d.png" % number)
skin = image("skin", path("udim/skin.1001.png"), "TILED")
skin.filepath = "//udim/skin.<UDIM>.png"
for number in (1002, 1011, 1021):
    skin.tiles.new(number)
packed = image("packed", picture("textures/packed.png"))
packed.pack()
lost = image("lost", picture("textures/lost.png"))
os.remove(path("textures/lost.png"))
os.remove(path("textures/packed.png"))
material("Surface", plain, plates, skin, packed, lost)
nobody = image("nobody", picture("textures/nobody.png"))
nobody.use_fake_user = True
os.remove(path("textures/nobody.png"))

world = bpy.data.worlds.new("World")
world.use_nodes = True
scene.world = world
world.node_tree.nodes.new("ShaderNodeTexEnvironment").image = image("sky", picture("textures/sky.png"))

camera = bpy.data.cameras.new("Camera")
scene.camera = bpy.data.objects.new("Camera", camera)
scene.collection.objects.link(scene.camera)
camera.background_images.new().image = image("backdrop", picture("textures/backdrop.png"))

for number in (1, 2, 3):
    touch("vdb/smoke_%04d.vdb" % number)
volume = bpy.data.volumes.new("Smoke")
volume.filepath = "//vdb/smoke_0001.vdb"
volume.is_sequence = True
volume.frame_duration = 3
scene.collection.objects.link(bpy.data.objects.new("Smoke", volume))

def cube(name):
    block = bpy.data.objects.new(name, bpy.data.meshes.new(name))
    block.data.from_pydata([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)], [], [(0, 1, 2, 3)])
    scene.collection.objects.link(block)
    bpy.context.view_layer.objects.active = block
    return block

touch("cache/crowd.usda", "#usda 1.0\\n")
for number in (1, 2):
    touch("cache/cloth_%03d.abc" % number)
for name, file, sequence in (("usd", "crowd.usda", False), ("abc", "cloth_001.abc", True)):
    before = set(bpy.data.cache_files)
    bpy.ops.cachefile.open(filepath=path("cache/" + file))
    cache = (set(bpy.data.cache_files) - before).pop()
    cache.filepath = "//cache/" + file
    cache.is_sequence = sequence
    cube(name).modifiers.new("Cache", "MESH_SEQUENCE_CACHE").cache_file = cache

touch("cache/wave.mdd")
cube("mdd").modifiers.new("Mdd", "MESH_CACHE").filepath = "//cache/wave.mdd"

for number in (1, 2):
    touch("oceans/disp_%04d.exr" % number)
touch("oceans/notes.txt")
ocean = cube("ocean").modifiers.new("Ocean", "OCEAN")
ocean.filepath = "//oceans"

fluid = cube("fluid").modifiers.new("Fluid", "FLUID")
fluid.fluid_type = "DOMAIN"
fluid.domain_settings.cache_directory = "//fluid"
touch("fluid/data/fluid_data_0001.vdb")
touch("fluid/config/config_0001.uni")
touch("fluid/holiday.jpg")

cloth = cube("cloth").modifiers.new("Cloth", "CLOTH")
cloth.point_cache.use_disk_cache = True
cloth.point_cache.frame_end = 2
touch("blendcache_shot/readme.txt")
outer = cube("outer")
outer.modifiers.new("Particles", "PARTICLE_SYSTEM")
points = outer.particle_systems[0].point_cache
points.use_external = True
points.name = "sparks"
points.filepath = "//points"
touch("points/sparks_000001_00.bphys")

if hasattr(bpy.types, "GeometryNodeBake"):
    nodes = cube("nodes").modifiers.new("Nodes", "NODES")
    group = bpy.data.node_groups.new("Nodes", "GeometryNodeTree")
    zone = group.nodes.new("GeometryNodeSimulationInput")
    zone.pair_with_output(group.nodes.new("GeometryNodeSimulationOutput"))
    nodes.node_group = group
    nodes.bake_directory = "//bakes"
    touch("bakes/1/meta/00001.json")
    touch("bakes/1/blobs/00001.blob")
    touch("bakes/elsewhere.txt")

ies = material("Lamp").node_tree.nodes.new("ShaderNodeTexIES")
ies.mode = "EXTERNAL"
ies.filepath = touch("light/lamp.ies")
touch("osl/common.h", "#define A 1\\n")
touch("osl/toon.osl", '#include "stdosl.h"\\n#include "common.h"\\nshader toon(output color C = 1) {}\\n')
touch("osl/toon.oso")
osl = material("Toon").node_tree.nodes.new("ShaderNodeScript")
osl.mode = "EXTERNAL"
osl.filepath = "//osl/toon.osl"

import shutil
fonts = bpy.utils.system_resource("DATAFILES", path="fonts")
font = sorted(name for name in os.listdir(fonts) if name.startswith(("DejaVu", "Inter", "droid", "bmono")))[0]
shutil.copy(os.path.join(fonts, font), path("fonts/" + font))
title = bpy.data.objects.new("Title", bpy.data.curves.new("Title", "FONT"))
title.data.font = bpy.data.fonts.load(path("fonts/" + font))
scene.collection.objects.link(title)

with wave.open(path("sound/hum.wav"), "wb") as file:
    file.setnchannels(1)
    file.setsampwidth(2)
    file.setframerate(8000)
    file.writeframes(struct.pack("<h", 0) * 800)
editor = scene.sequence_editor_create()
strips = editor.strips if hasattr(editor, "strips") else editor.sequences
strips.new_sound("Hum", path("sound/hum.wav"), 1, 1)
stills = strips.new_image("Stills", picture("edit/a_01.png"), 2, 1)
picture("edit/a_02.png")
stills.elements.append("a_02.png")

for number in (1, 2):
    picture("track/t_%03d.png" % number)
clip = bpy.data.movieclips.load(path("track/t_001.png"))
clip.use_fake_user = True
camera.background_images.new().clip = clip
touch("notes.py", "print(1)\\n")
text = bpy.data.texts.load(path("notes.py"))
touch("gone.py")
bpy.data.texts.load(path("gone.py"))
os.remove(path("gone.py"))
scene.frame_end = 2
bpy.ops.ptcache.bake_all(bake=True)
bpy.ops.file.make_paths_relative()
save("shot.blend")
"""
