"""What the add-on does without Blender: standard library alone, Python 3.7 syntax. Never imports bpy or blendnet."""
