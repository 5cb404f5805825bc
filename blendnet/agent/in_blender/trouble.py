"""The one error that commands raise on purpose: a sentence for the user and a kind for the agent."""


class Trouble(Exception):
    """A command cannot be carried out.

    `kind`: 'scene' (the .blend is at fault), 'disk' (no room to write), 'output' (cannot write), 'memory', 'device'
    (wanted and absent), 'order' (a command came before the one it needs) or 'blender' (anything else Blender says).
    """

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


MEMORY_WORDS = ("out of memory", "memory allocation", "malloc", "calloc")
DISK_WORDS = ("no space left", "disk quota exceeded")
OUTPUT_WORDS = ("permission denied", "cannot save", "error writing", "cannot write", "could not write")
SCENE_WORDS = ("no camera", "cannot render")


def kind_of(message):
    """The kind of an error that Blender raised itself, judged by its text."""
    text = message.lower()
    kinds = (("memory", MEMORY_WORDS), ("disk", DISK_WORDS), ("output", OUTPUT_WORDS), ("scene", SCENE_WORDS))
    for kind, words in kinds:
        if any(word in text for word in words):
            return kind
    return "blender"
