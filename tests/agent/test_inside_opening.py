"""Opening scenes: bad files, scripts, and paths of another machine found again in the workspace."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from blendnet.agent.blender import WarmBlender
from blendnet.agent.blenders import Build
from blendnet.agent.in_blender.relocation import relocated
from blendnet.errors import BlenderError
from tests.agent.scripted import run_script

TIMEOUT_S = 60

LIBRARIES = """
inner, outer = (os.path.join(args["root"], "lib", name) for name in ("inner.blend", "outer.blend"))
scene = os.path.join(args["root"], "main.blend")
picture = os.path.join(args["root"], "textures", "dot.png")
os.makedirs(os.path.dirname(picture))
os.makedirs(os.path.dirname(inner))


def fresh():
    bpy.ops.wm.read_factory_settings(use_empty=True)


def link(path, name):
    with bpy.data.libraries.load(path, link=True, relative=False) as (_, wanted):
        wanted.meshes = [name]
    return bpy.data.objects.new("holder", bpy.data.meshes[name])


fresh()
image = bpy.data.images.new("dot", 4, 4)
image.filepath_raw, image.file_format = picture, "PNG"
image.save()
material = bpy.data.materials.new("dotted")
material.use_nodes = True
node = material.node_tree.nodes.new("ShaderNodeTexImage")
node.image = bpy.data.images.load(picture)
mesh = bpy.data.meshes.new("inner mesh")
mesh.materials.append(material)
bpy.context.scene.collection.objects.link(bpy.data.objects.new("inner", mesh))
bpy.ops.wm.save_as_mainfile(filepath=inner, relative_remap=False)

fresh()
group = bpy.data.collections.new("outer group")
group.use_fake_user = True
group.objects.link(link(inner, "inner mesh"))
bpy.ops.wm.save_as_mainfile(filepath=outer, relative_remap=False)

fresh()
with bpy.data.libraries.load(outer, link=True, relative=False) as (_, wanted):
    wanted.collections = ["outer group"]
bpy.context.scene.collection.children.link(bpy.data.collections["outer group"])
ies = bpy.data.worlds.new("sky")
ies.use_nodes = True
for path in (picture, "/elsewhere/lamp.ies"):
    lamp = ies.node_tree.nodes.new("ShaderNodeTexIES")
    lamp.mode, lamp.filepath = "EXTERNAL", path
bpy.context.scene.world = ies
bpy.ops.wm.save_as_mainfile(filepath=scene, relative_remap=False)
"""


@pytest.fixture
def warm(any_build: Build, tmp_path: Path) -> Iterator[WarmBlender]:
    with WarmBlender(any_build, workdir=tmp_path / "work", threads=1, log_path=tmp_path / "log.txt") as blender:
        yield blender


@pytest.mark.parametrize(
    ("path", "root", "expected"),
    [
        ("/home/a/show/x.png", "/home/a/show", "/ws/x.png"),
        ("/home/a/show/sub/../x.png", "/home/a/show/", "/ws/x.png"),
        ("/home/a/showreel/x.png", "/home/a/show", None),
        ("/home/a/show/../x.png", "/home/a/show", None),
        ("//x.png", "/home/a/show", None),
        ("x.png", "/home/a/show", None),
        ("", "/home/a/show", None),
        ("/home/a/x.png", "", None),
        ("/x.png", "/", "/ws/x.png"),
        ("C:\\Show\\tex\\a.png", "c:\\show", "/ws/tex/a.png"),
        ("C:/Show/tex/a.png", "C:\\Show", "/ws/tex/a.png"),
        ("D:\\Show\\a.png", "C:\\Show", None),
        ("\\\\server\\show\\a.png", "\\\\server\\show", "/ws/a.png"),
    ],
)
def test_relocated_path_stays_under_the_new_root(path: str, root: str, expected: str | None) -> None:
    assert relocated(path, root, "/ws") == expected


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "not a .blend file"), (b"<html>", "not a .blend file"), (None, "cannot read the scene")],
    ids=["empty", "web page", "absent"],
)
def test_open_refuses_what_is_no_blend(warm: WarmBlender, tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "scene.blend"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BlenderError, match=words) as caught:
        warm.call("open", timeout_s=TIMEOUT_S, path=path)
    assert caught.value.kind == "scene"


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_open_refuses_a_truncated_blend(warm: WarmBlender, scenes_dir: Path, tmp_path: Path, share: float) -> None:
    whole = (scenes_dir / "clevr_base_scene.blend").read_bytes()
    path = tmp_path / "scene.blend"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(BlenderError, match="cannot open") as caught:
        warm.call("open", timeout_s=TIMEOUT_S, path=path)
    assert caught.value.kind == "scene"


def test_open_after_a_refused_file_works(warm: WarmBlender, scenes_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.blend").write_bytes(b"BLENDER-v304 and nothing else")
    with pytest.raises(BlenderError):
        warm.call("open", timeout_s=TIMEOUT_S, path=tmp_path / "bad.blend")
    answer = warm.call("open", timeout_s=TIMEOUT_S, path=scenes_dir / "clevr_base_scene.blend")
    assert answer["scripts_blocked"] is False
    assert warm.call("describe", timeout_s=TIMEOUT_S)["engine"] == "CYCLES"


def test_open_finds_absolute_paths_in_the_workspace_through_libraries_of_libraries(
    warm: WarmBlender, any_build: Build, tmp_path: Path
) -> None:
    root, workspace = tmp_path / "artist", tmp_path / "workspace"
    root.mkdir()
    run_script(any_build, LIBRARIES, tmp_path, root=str(root))
    shutil.move(root, workspace)
    answer = warm.call(
        "open", timeout_s=TIMEOUT_S, path=workspace / "main.blend", root_from=str(root), root_to=str(workspace)
    )
    files = {entry["path"]: entry["missing"] for entry in warm.call("dependencies", timeout_s=TIMEOUT_S)["files"]}
    for name in ("lib/inner.blend", "lib/outer.blend", "textures/dot.png"):
        assert files.get(str(workspace / name)) is False, files
    assert files["/elsewhere/lamp.ies"] is True
    assert answer["relocated"] == 4
    assert warm.call("missing", timeout_s=TIMEOUT_S)["missing"] == ["/elsewhere/lamp.ies"]


def test_open_keeps_scripts_off_and_says_so(warm: WarmBlender, any_build: Build, tmp_path: Path) -> None:
    scene, trace = tmp_path / "scene.blend", tmp_path / "ran"
    source = """
text = bpy.data.texts.new("start.py")
text.write("open(%r, 'w').close()" % args["trace"])
text.use_module = True
bpy.ops.wm.save_as_mainfile(filepath=args["scene"])
"""
    run_script(any_build, source, tmp_path, scene=str(scene), trace=str(trace))
    assert warm.call("open", timeout_s=TIMEOUT_S, path=scene)["scripts_blocked"] is True
    assert not trace.exists()
    warm.call("open", timeout_s=TIMEOUT_S, path=scene, scripts=True)
    assert trace.exists()
