"""Multilayer EXR work: reading and writing, and merging sample chunks of one frame into the frame. Knows no farm."""
