"""BlendNet: a Blender render farm that one artist can own."""

__version__ = "0.1.0"
