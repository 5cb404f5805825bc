"""The one error that commands raise on purpose: a sentence for the user and a kind for the agent."""


class Trouble(Exception):
    """A command cannot be carried out.

    `kind`: 'scene' (the .blend is at fault), 'output' (cannot write), 'memory', 'device' (wanted and absent),
    'order' (a command came before the one it needs) or 'blender' (anything else Blender says).
    """

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


def kind_of(message):
    """The kind of an error that Blender raised itself, judged by its text."""
    text = message.lower()
    if "out of memory" in text or "memory allocation" in text or "malloc" in text:
        return "memory"
    if "no space left" in text or "permission denied" in text or "cannot write" in text or "could not write" in text:
        return "output"
    if "no camera" in text or "cannot render" in text:
        return "scene"
    return "blender"
