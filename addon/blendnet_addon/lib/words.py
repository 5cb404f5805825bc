"""Numbers as people say them, and what the Manager says in ways that panels can take up."""

import re

_COMMAND = re.compile(r" Raise it(?: and go on)? with `blendnet job cap [^`]+`")


def plural(count, word):
    """'1 frame', '2 frames'."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def seconds(value):
    """A duration as people say it."""
    if value is None:
        return ""
    value = int(round(value))
    if value < 60:
        return f"{value} s"
    if value < 3600:
        return f"{value // 60} min {value % 60:02d} s"
    return f"{value // 3600} h {value % 3600 // 60:02d} min"


def dollars(value):
    """Money as people write it; '' when nobody knows it."""
    if value is None:
        return ""
    return f"${value:.2f}" if value >= 0.1 else f"${value:.4f}"


def log_lines(events, told, most):
    """[(level, text)] of the last `most` events of a log: their first lines, without errors that `told` texts hold."""
    found = []
    for event in events:
        text = event["text"].partition("\n")[0]
        reason = text.partition(": ")[2] or text  # Without its kind, which the Manager puts elsewhere.
        if event["level"] != "error" or not any(reason in other for other in told):
            found.append((event["level"], text))
    return found[-most:]


def memory(size_bytes):
    """Memory as it is sold: '21 GiB', '700 MiB'; '' when nobody knows it."""
    if size_bytes is None:
        return ""
    gib = size_bytes / (1 << 30)
    if gib < 1.0:
        return f"{size_bytes / (1 << 20):.0f} MiB"
    return f"{gib:.0f} GiB" if gib >= 10.0 else f"{gib:.1f} GiB"


def without_command(text):
    """What the Manager says of a cap, without the command of a shell: there is a button for it."""
    return _COMMAND.sub("", text)
