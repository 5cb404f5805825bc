"""Tools: materials by name and number, the same in Blender 3.4 and later."""

import bpy

from orrery.modelling import named

RENAMED = {"Transmission": "Transmission Weight", "Clearcoat": "Coat Weight"}


def new_material(name):
    """An empty node tree with an output: (material, nodes, links)."""
    made = bpy.data.materials.new(name)
    made.use_nodes = True
    return made, made.node_tree.nodes, made.node_tree.links


def material(name, **inputs):
    """A Principled material; keyword 'base_color' sets socket 'Base Color', and so on."""
    made, nodes, _ = new_material(name)
    for key, value in inputs.items():
        title = "IOR" if key == "ior" else key.replace("_", " ").title()
        socket = named(nodes["Principled BSDF"].inputs, title, RENAMED.get(title, title))
        socket.default_value = (*value, 1) if isinstance(value, tuple) else value
    return made


def texture(made, kind, stops, scale=(1, 1, 1), kinds=None, **settings):
    """The colour socket of a texture in object space, seen through a ramp of (position, colour) stops.

    `kinds` are properties of the texture node, `settings` its inputs.
    """
    nodes, links = made.node_tree.nodes, made.node_tree.links
    place, mapping = nodes.new("ShaderNodeTexCoord"), nodes.new("ShaderNodeMapping")
    pattern, ramp = nodes.new(f"ShaderNodeTex{kind}"), nodes.new("ShaderNodeValToRGB")
    mapping.inputs["Scale"].default_value = scale
    for key, value in (kinds or {}).items():
        setattr(pattern, key, value)
    for key, value in settings.items():
        pattern.inputs[key].default_value = value
    elements = ramp.color_ramp.elements
    while len(elements) < len(stops):
        elements.new(0.5)
    for element, (position, colour) in zip(elements, stops, strict=True):
        element.position, element.color = position, (*colour, 1)
    links.new(place.outputs["Object"], mapping.inputs["Vector"])
    links.new(mapping.outputs["Vector"], pattern.inputs["Vector"])
    links.new(named(pattern.outputs, "Fac", "Color"), ramp.inputs["Fac"])
    return ramp.outputs["Color"]


def textured(made, socket, kind, stops, scale=(1, 1, 1), **settings):
    """`made`, with an input of its Principled shader driven by a texture."""
    colour = texture(made, kind, stops, scale, **settings)
    made.node_tree.links.new(colour, made.node_tree.nodes["Principled BSDF"].inputs[socket])
    return made


def greys(*values):
    """Stops of a ramp of greys, evenly spaced."""
    return [(i / (len(values) - 1), (v, v, v)) for i, v in enumerate(values)]


def emission(name, colour, strength, seen=None):
    """A light; `seen`: its strength for the camera, so that a strong lamp still shows its colour."""
    made, nodes, links = new_material(name)
    nodes.clear()
    shader, output = nodes.new("ShaderNodeEmission"), nodes.new("ShaderNodeOutputMaterial")
    shader.inputs["Color"].default_value, shader.inputs["Strength"].default_value = (*colour, 1), strength
    links.new(shader.outputs[0], output.inputs["Surface"])
    if seen is not None:
        path, mix = nodes.new("ShaderNodeLightPath"), nodes.new("ShaderNodeMath")
        mix.operation = "MULTIPLY_ADD"
        mix.inputs[1].default_value, mix.inputs[2].default_value = seen - strength, strength
        links.new(path.outputs["Is Camera Ray"], mix.inputs[0])
        links.new(mix.outputs[0], shader.inputs["Strength"])
    return made


def textured_emission(made, kind, stops, scale=(1, 1, 1), **settings):
    """`made`, an emission, with its colour from a texture."""
    colour = texture(made, kind, stops, scale, **settings)
    made.node_tree.links.new(colour, made.node_tree.nodes["Emission"].inputs["Color"])
    return made


def unsampled(made):
    """What shines for decoration only takes no light samples from the lamps."""
    if hasattr(made.cycles, "emission_sampling"):
        made.cycles.emission_sampling = "NONE"
    else:
        made.cycles.sample_as_light = False
    return made


def metal(name, colour, roughness):
    made = material(name, base_color=colour, metallic=1.0, roughness=roughness)
    stops = greys(roughness * 0.6, roughness * 1.5)
    return textured(made, "Roughness", "Noise", stops, (3, 3, 9), Scale=2.0, Detail=5.0)


def glass(name, colour, ior=1.46):
    return material(name, base_color=colour, transmission=1.0, roughness=0.0, ior=ior)
