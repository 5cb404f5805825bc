"""Names of files that Blender derives from other names: sequences, tiles, frames. Pure: no bpy, no disk."""

import posixpath
import re

_DIGITS = re.compile(r"(\d+)(\D*)$")
_FRAME = re.compile(r"#+(?=[^#]*$)")


def sequence_pattern(name):
    """Return the pattern of the files of the sequence that file `name` belongs to, None when it has no number.

    Blender counts in the last group of digits before the extension and never uses fewer digits than `name` has.
    """
    stem, extension = posixpath.splitext(name)
    match = _DIGITS.search(stem)
    if not match:
        return None
    head, digits, tail = stem[: match.start(1)], match.group(1), match.group(2)
    return re.compile(r"%s\d{%d,}%s$" % (re.escape(head), len(digits), re.escape(tail + extension)))


def tile_names(name, numbers):
    """Return the file names of the UDIM tiles `numbers` (1001...) of image file `name`."""
    return [_tile_name(name, number) for number in numbers]


def _tile_name(name, number):
    if "<UDIM>" in name:
        return name.replace("<UDIM>", str(number))
    if "<UVTILE>" in name:
        u, v = (number - 1001) % 10 + 1, (number - 1001) // 10 + 1
        return name.replace("<UVTILE>", "u%d_v%d" % (u, v))
    return name.replace("1001", str(number), 1)


def tile_pattern(name):
    """Return the pattern of every tile's file of image file `name`, None when it has no tile mark."""
    for mark, digits in (("<UDIM>", r"[12]\d{3}"), ("<UVTILE>", r"u\d+_v\d+"), ("1001", r"[12]\d{3}")):
        if mark in name:
            head, tail = name.split(mark, 1)
            return re.compile(re.escape(head) + digits + re.escape(tail) + "$")
    return None


def frame_name(template, frame):
    """Return `template` with its last run of '#' replaced by the frame number; without '#' four digits are appended.

    The same as Blender's own animation output: '-0005' for frame -5.
    """
    if "#" not in template:
        template += "####"
    return _FRAME.sub(lambda run: frame_digits(frame, len(run.group())), template)


def frame_digits(frame, width):
    """Return `frame` with at least `width` digits, the sign before them."""
    return "%s%0*d" % ("-" if frame < 0 else "", width, abs(frame))


def movie_name(template, first, last, extension):
    """Return the file name of a video of frames `first` to `last`, as Blender names it.

    A name that ends in a video's extension stays; otherwise the frame range replaces '#' or is appended.
    """
    bare = template.rstrip("#")
    if bare.lower().endswith(extension):
        return bare
    digits = _FRAME.search(template)
    width = len(digits.group()) if digits else 4
    span = "%s-%s" % (frame_digits(first, width), frame_digits(last, width))
    name = _FRAME.sub(span, template) if digits else template + span
    return name + extension


FILE_OUTPUT = "file_output"
"""Folder, inside a frame's results, of what File Output nodes write."""


def output_folders(bases):
    """Return {base: relative folder} for the folders (or file prefixes) `bases` of File Output nodes.

    '//a/b' becomes 'a/b'; an absolute path its shortest ending that no other base has. Nothing leads upwards.
    """
    parts = {base: _parts(base) for base in bases}
    return {base: "/".join(_shortest(base, parts)) for base in parts}


def _parts(base):
    text = base.replace("\\", "/")
    return [part for part in text.split("/") if part not in ("", ".", "..") and not part.endswith(":")]


def _shortest(base, parts):
    mine = parts[base]
    if base.startswith("//"):
        return mine
    others = [other for name, other in parts.items() if name != base]
    for length in range(1, len(mine) + 1):
        if all(other == mine or other[-length:] != mine[-length:] for other in others):
            return mine[-length:]
    return mine


def below(path):
    """Return `path` as a relative path that stays below its folder."""
    return "/".join(_parts(path))


_INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]', re.MULTILINE)


def osl_includes(source):
    """Return the names that the OSL text `source` includes."""
    return _INCLUDE.findall(source)
