"""What runs inside Blender: bpy and the standard library only, Python 3.7 syntax. Never imports blendnet."""
