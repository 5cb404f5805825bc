"""Numbers as people say them."""


def plural(count, word):
    """'1 frame', '2 frames'."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
