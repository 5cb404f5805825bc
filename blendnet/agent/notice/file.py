"""A file whose appearance is a notice: for machines of one's own, for other clouds' scripts, and for tests."""

from __future__ import annotations

import math
from pathlib import Path

from blendnet.agent.notice.notice import Notice
from blendnet.errors import NoticeUnknown

PAUSE_S = 0.5


def file_notice(text: str, *, notice_s: float) -> Notice:
    """The notice that a file with this text is: the seconds that are left, or nothing for `notice_s`. PURE."""
    try:
        left_s = float(text)
    except ValueError:
        left_s = notice_s
    left_s = max(0.0, left_s) if math.isfinite(left_s) else notice_s
    return Notice(left_s, f"told to give this machine back in {left_s:g} s")


class NoticeFile:
    """A Source (watch.py). The file is removed when it is read, so that it counts once."""

    name = "the notice file"
    pause_s = PAUSE_S

    def __init__(self, path: Path, *, notice_s: float) -> None:
        """`notice_s`: seconds that are left when the file does not say."""
        self._path = path
        self._notice_s = notice_s

    def poll(self) -> Notice | None:
        """Raises NoticeUnknown when the file cannot be read and removed."""
        try:
            text = self._path.read_text("utf-8", "replace")
            self._path.unlink()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise NoticeUnknown(f"cannot take up the notice {self._path}: {error}") from error
        return file_notice(text, notice_s=self._notice_s)
