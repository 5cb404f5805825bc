"""Compositor trees whose render layers are replaced by the layers of a merged multilayer EXR."""

import bpy

from . import patterns

LAYER = "blendnet_layer"
"""Node property: the view layer that an Image node stands for."""
FOLDER = "blendnet_folder"
"""Node property: where a File Output node writes, relative to the frame's file_output folder."""

PART = "blendnet_part"
"""Node property: this File Output node writes a part of the frame's multilayer EXR."""
MATTE = "blendnet_matte"
"""Node property: the cryptomatte layer that a Cryptomatte node reads, then a line break and its matte ids."""

FRAME_DIGITS = "####"
COMBINED = "Combined"
ALIASES = {"Image": (COMBINED,), "Noisy Image": (COMBINED,)}
"""Render Layers output -> passes that hold the same. Chunks have no 'Noisy Image': their Combined is the noisy one."""

PREFILTERS = {"NONE": "None", "FAST": "Fast", "ACCURATE": "Accurate"}
QUALITIES = {"HIGH": "High", "BALANCED": "Balanced", "FAST": "Fast"}


class Denoising:
    """Cycles' final denoising of a scene, to be done by compositor nodes: which layers, and how."""

    def __init__(self, layers=(), passes="RGB_ALBEDO_NORMAL", prefilter="ACCURATE", quality="HIGH"):
        self.layers = layers
        self.passes = passes
        self.prefilter = prefilter
        self.quality = quality


def tree_of(scene):
    """The compositor tree of a scene that a render would use, None when there is none."""
    if not scene.render.use_compositing:
        return None
    if hasattr(scene, "compositing_node_group"):
        return scene.compositing_node_group
    return scene.node_tree if scene.use_nodes else None


def own_tree(scene):
    """Give a copied scene a compositor tree that no other scene shares and return it; an empty one if it has none."""
    tree = tree_of(scene)
    scene.render.use_compositing = True
    if hasattr(scene, "compositing_node_group"):
        scene.compositing_node_group = tree.copy() if tree else _new_group()
        return scene.compositing_node_group
    scene.use_nodes = True
    if tree is None:
        scene.node_tree.nodes.clear()
    return scene.node_tree


def _new_group():
    group = bpy.data.node_groups.new("BlendNet", "CompositorNodeTree")
    group.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
    return group


class Swap:
    """Puts one image in place of the render layers of the scenes named `names`, in a tree and the groups inside it.

    Replaced nodes carry LAYER or MATTE, by which `show` finds them again for the next frame. `file_outputs` are the
    File Output nodes met, `composites` whether the tree has a picture of its own, `warnings` what was not replaced.
    """

    def __init__(self, image, names, denoising, first_layer):
        self.image = image
        self.names = names
        self.denoising = denoising
        self.first_layer = first_layer
        self.file_outputs = []
        self.warnings = []
        self._copies = {}
        self.composites = False

    def run(self, tree):
        self._walk(tree)
        if not self.composites:
            self._composite(tree)

    def _walk(self, tree):
        sources = {}
        for node in list(tree.nodes):
            if node.type == "GROUP" and node.node_tree:
                self._own_group(node)
            elif node.type == "R_LAYERS" and self._is_ours(node):
                self._replace(tree, node, sources)
            elif node.type.startswith("CRYPTOMATTE") and getattr(node, "source", "") == "RENDER":
                self._replace_matte(node)
            elif node.type == "OUTPUT_FILE":
                self.file_outputs.append(node)
            elif node.type == "COMPOSITE" or (node.type == "GROUP_OUTPUT" and tree.name not in self._groups()):
                self.composites = self.composites or not node.mute

    def _groups(self):
        """Names of the copied groups: a group's own output is not the picture."""
        return {group.name for group in self._copies.values()}

    def _own_group(self, node):
        """Swap inside a copy of the group, once per group: the file's own trees stay as they are."""
        name = node.node_tree.name_full
        if name in self._copies:
            node.node_tree = self._copies[name]
            return
        self._copies[name] = node.node_tree = node.node_tree.copy()
        self._walk(node.node_tree)

    def _is_ours(self, node):
        return node.scene is None or node.scene.name in self.names

    def _replace(self, tree, node, sources):
        source = self._source(tree, node.layer, sources)
        if node.mute and source.image_node:
            source.image_node.mute = True
        for output in node.outputs:
            for link in list(output.links):
                if not (link.is_valid and output.enabled):
                    # Blender reads the input's own value through such a link.
                    tree.links.remove(link)
                    continue
                socket = source.socket(output)
                if link.to_node.type == "OUTPUT_FILE":
                    socket = _as_vector(tree, socket) if output.type == "VECTOR" else socket
                tree.links.new(socket, link.to_socket)
        tree.nodes.remove(node)

    def _source(self, tree, layer, sources):
        if layer not in sources:
            sources[layer] = self.source_of(tree, layer)
        return sources[layer]

    def source_of(self, tree, layer):
        """A new Source of view layer `layer` in a tree."""
        node = tree.nodes.new("CompositorNodeImage")
        node.image = self.image
        if not choose_layer(node, layer):
            tree.nodes.remove(node)
            return Source(tree, None, None, self.warnings)
        node[LAYER] = layer
        clean = None
        if layer in self.denoising.layers:
            clean = denoise_node(tree, node, self.denoising, self.warnings)
        return Source(tree, node, clean, self.warnings)

    def _replace_matte(self, node):
        if not self._is_ours(node):
            return
        layer, matte = node.layer_name, node.matte_id
        node.source = "IMAGE"
        node.image = self.image
        node[MATTE] = "%s\n%s" % (layer, matte)
        if not choose_matte(node):
            self.warnings.append("the merged frame has no cryptomatte %r" % layer)

    def _composite(self, tree):
        """Without an output node Blender writes the first rendered layer: make the tree say so."""
        source = self.source_of(tree, self.first_layer)
        is_group = not hasattr(bpy.types, "CompositorNodeComposite")
        output = tree.nodes.new("NodeGroupOutput" if is_group else "CompositorNodeComposite")
        tree.links.new(source.picture(), output.inputs[0])


class Source:
    """Output sockets that replace those of one Render Layers node."""

    def __init__(self, tree, image_node, denoised, warnings):
        self.image_node = image_node
        self._tree = tree
        self._denoised = denoised
        self._warnings = warnings
        self._zero = None

    def picture(self):
        """The layer's picture, denoised if the scene wants that."""
        if self._denoised:
            return self._denoised.outputs[0]
        return self._find(COMBINED) or self._nothing()

    def socket(self, output):
        """What gives the values of a Render Layers output: zeros for what has not been rendered, as Blender does."""
        if output.name in ("Image", COMBINED):
            return self.picture()
        for name in (output.name,) + ALIASES.get(output.name, ()):
            found = self._find(name)
            if found:
                return found
        if self.image_node:
            layer = self.image_node[LAYER]
            self._warnings.append("the merged frame has no pass %r of view layer %r" % (output.name, layer))
        return self._nothing()

    def _find(self, name):
        outputs = self.image_node.outputs if self.image_node else ()
        return next((socket for socket in outputs if socket.name == name), None)

    def _nothing(self):
        if self._zero is None:
            self._zero = self._tree.nodes.new("CompositorNodeRGB")
            self._zero.outputs[0].default_value = (0.0, 0.0, 0.0, 0.0)
        return self._zero.outputs[0]


def _as_vector(tree, socket):
    """A vector with the values of `socket`: Image nodes of some versions give colours, files would say RGB, not XYZ."""
    if socket.type == "VECTOR" or not hasattr(bpy.types, "CompositorNodeCombineXYZ"):
        return socket
    apart = tree.nodes.new("CompositorNodeSeparateXYZ")
    together = tree.nodes.new("CompositorNodeCombineXYZ")
    tree.links.new(socket, apart.inputs[0])
    for number in range(3):
        tree.links.new(apart.outputs[number], together.inputs[number])
    return together.outputs[0]


def choose_layer(node, layer):
    """Let an Image node show a layer of its image; False when the image has no such layer."""
    try:
        if node.layer != layer:
            node.layer = layer
    except TypeError:
        return False
    return node.layer == layer


def choose_matte(node):
    """Let a cryptomatte node read its layer of its image and pick the same mattes; False when it is not there."""
    layer, matte = node[MATTE].split("\n", 1)
    try:
        if node.layer_name != layer:
            node.layer_name = layer
    except TypeError:
        return False
    if node.matte_id != matte:
        node.matte_id = matte
    return True


def show(tree):
    """Choose layers and mattes again after the image behind a swapped tree has changed. Returns warnings."""
    warnings = []
    for node in nodes_within(tree):
        if LAYER in node and not choose_layer(node, node[LAYER]):
            warnings.append("the merged frame has no view layer %r" % node[LAYER])
        if MATTE in node and not choose_matte(node):
            warnings.append("the merged frame has no cryptomatte %r" % node[MATTE].split("\n", 1)[0])
    return warnings


def nodes_within(tree):
    """Every node of a tree and of the groups inside it, each once."""
    seen, trees = set(), [tree]
    while trees:
        current = trees.pop()
        for node in current.nodes:
            yield node
            group = node.node_tree if node.type == "GROUP" else None
            if group is not None and group.name_full not in seen:
                seen.add(group.name_full)
                trees.append(group)


def has_denoise_nodes(tree):
    """True when a tree or a group inside it holds a Denoise node that is not muted."""
    return any(node.type == "DENOISE" and not node.mute for node in nodes_within(tree))


def denoise_node(tree, image_node, denoising, warnings):
    """A Denoise node on an Image node's Combined, set up as Cycles would denoise that view layer."""
    node = tree.nodes.new("CompositorNodeDenoise")
    passes = {socket.name: socket for socket in image_node.outputs}
    tree.links.new(passes[COMBINED], node.inputs["Image"])
    for guide in ("Albedo", "Normal"):
        if guide.upper() not in denoising.passes:
            continue
        if "Denoising " + guide in passes:
            tree.links.new(passes["Denoising " + guide], node.inputs[guide])
        else:
            warnings.append("view layer %r was denoised without its %s pass" % (image_node[LAYER], guide.lower()))
    _choose(node, "prefilter", denoising.prefilter, PREFILTERS)
    _choose(node, "quality", denoising.quality, QUALITIES)
    return node


def _choose(node, name, value, words):
    """Set a choice that is a property up to 4.5 and an input socket since 5.0."""
    if name.title() in node.inputs:
        node.inputs[name.title()].default_value = words[value]
    elif hasattr(node, name):
        setattr(node, name, value)


def prepare_file_outputs(nodes, scene_name):
    """Remember in every File Output node where its files go below a frame's folder."""
    bases = {id(node): _base(node, scene_name) for node in nodes}
    folders = patterns.output_folders(bases.values())
    for node in nodes:
        node[FOLDER] = folders[bases[id(node)]]
        if hasattr(node, "file_slots"):
            for slot in node.file_slots:
                slot.path = patterns.below(slot.path.replace("{scene_name}", scene_name))
        else:
            node.file_name = patterns.below(node.file_name.replace("{scene_name}", scene_name))
            _number_files(node)


def _number_files(node):
    """Put the frame number where an animation has it: 5.0 leaves it out of the files of a single frame."""
    if "#" in node.file_name:
        return
    if node.format.file_format == "OPEN_EXR_MULTILAYER":
        node.file_name += FRAME_DIGITS
        return
    for item in node.file_output_items:
        if "#" not in item.name:
            item.name += FRAME_DIGITS


def file_output_bases(scene):
    """Where the File Output nodes of a scene write, as they say it, by where their results lie among a frame's own.

    A result begins with its key; what follows that follows the base on the author's computer.
    """
    tree = tree_of(scene)
    nodes = nodes_within(tree) if tree is not None else ()
    bases = {_base(node, scene.name) for node in nodes if node.type == "OUTPUT_FILE"}
    folders = patterns.output_folders(bases)
    return {"%s/%s" % (patterns.FILE_OUTPUT, folders[base]): base for base in bases if folders[base]}


def _base(node, scene_name):
    """Folder of a File Output node; with multilayer EXR up to 4.5 folder and beginning of the file's name."""
    base = node.directory if hasattr(node, "directory") else node.base_path
    return base.replace("{scene_name}", scene_name)


def point_file_outputs(tree, folder, parts):
    """Let the File Output nodes of a swapped tree write below `folder`, those for parts into the folder `parts`."""
    for node in nodes_within(tree):
        if FOLDER not in node and PART not in node:
            continue
        path = "%s/%s" % (folder, node[FOLDER]) if FOLDER in node else parts + "/"
        if hasattr(node, "directory"):
            node.directory = path
        else:
            node.base_path = path
