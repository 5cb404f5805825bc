"""Runs the `blendnet` command for its JSON. What it says meanwhile is passed on, and it ends when it is told to."""

import json
import os
import signal
import subprocess
import threading
import time

from .errors import SetUpError, Stopped
from .files import check

LIMIT_S = 180.0
LOOK_S = 0.1
END_S = 5.0
"""A command may tidy up for so long after each of these."""
ENDINGS = ("SIGINT", "SIGTERM", "SIGKILL")
LAST_WORDS_S = 5.0
"""What it still has to say is waited for so long after its end."""
BLENDER_VARIABLES = ("PYTHONHOME", "PYTHONPATH", "PYTHONUSERBASE", "LD_LIBRARY_PATH", "LD_PRELOAD", "VIRTUAL_ENV")
"""What a Blender may have set for its own Python: other programs must not see it."""
GROUPS = os.name != "nt"


def clean_environment(**more):
    """This process's environment without what Blender set for itself, and with `more`."""
    kept = {name: value for name, value in os.environ.items() if name not in BLENDER_VARIABLES}
    kept.update(more)
    return kept


def ask(program, arguments, stop=None, said=None, limit_s=LIMIT_S, settings=None, accept=(0,)):
    """The JSON that `blendnet ARGUMENTS` prints.

    `stop`: an event; once it is set the command is interrupted. `said(line)` hears, in another thread, each line that
    is for people. `settings`: BLENDNET_... for it alone. `accept`: exit statuses with which it has answered.
    Raises SetUpError with its own words, Stopped.
    """
    check(stop)
    arguments = list(arguments)
    what = "blendnet " + " ".join(_words(arguments))
    try:
        process = subprocess.Popen(
            [program] + arguments,
            env=clean_environment(**(settings or {})),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=GROUPS,
        )
    except OSError as error:
        raise SetUpError(f"cannot run {program} ({error.strerror}): install BlendNet again") from error
    printed, lines = [], []
    readers = [_reader(process.stdout, printed, None), _reader(process.stderr, lines, said)]
    ended_by = _wait(process, stop, limit_s)
    for reader in readers:
        reader.join(LAST_WORDS_S)
    if ended_by == "stop":
        raise Stopped("stopped")
    if ended_by == "limit":
        raise SetUpError(f"`{what}` takes more than {limit_s:.0f} s: try it in a terminal")
    return _answer(what, process.returncode, "".join(printed), lines, accept)


def documents(text):
    """The JSON values in what a command printed: a failure may follow an answer."""
    found, at, decoder = [], 0, json.JSONDecoder()
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        try:
            value, at = decoder.raw_decode(text, at)
        except ValueError:
            break
        found.append(value)
    return found


def _words(arguments):
    """The beginning of a command line without its options."""
    words = []
    for argument in arguments:
        if argument.startswith("-"):
            break
        words.append(argument)
    return words


def _reader(stream, kept, said):
    def read():
        with stream:
            for line in stream:
                kept.append(line)
                if said is not None and line.strip():
                    said(line.strip())

    thread = threading.Thread(target=read, name="blendnet-command", daemon=True)
    thread.start()
    return thread


def _wait(process, stop, limit_s):
    """Wait for its end, or bring it about; 'stop', 'limit', or '' when it ended by itself."""
    until = time.monotonic() + limit_s
    while process.poll() is None:
        ended_by = "stop" if stop is not None and stop.is_set() else "limit" if time.monotonic() > until else ""
        if ended_by:
            _end(process)
            return ended_by
        try:
            process.wait(LOOK_S)
        except subprocess.TimeoutExpired:
            pass
    return ""


def _end(process):
    """Interrupt it as Ctrl+C does, with what it has started; one that does not heed that, without mercy."""
    for name in ENDINGS:
        _signal(process, name)
        try:
            process.wait(END_S)
            break
        except subprocess.TimeoutExpired:
            pass
    if GROUPS:
        _signal(process, ENDINGS[-1])  # What it has started may have outlived it.


def _signal(process, name):
    if not GROUPS:
        process.kill()
        return
    try:
        os.killpg(process.pid, getattr(signal, name))
    except ProcessLookupError:
        pass


def _answer(what, status, text, lines, accept):
    answers = documents(text)
    told = [answer["error"] for answer in answers if isinstance(answer, dict) and isinstance(answer.get("error"), dict)]
    if told:
        raise SetUpError(told[-1].get("message", "it failed"))
    if status in accept and answers:
        return answers[0]
    last = ("".join(lines).strip().splitlines() or ["no word"])[-1]
    raise SetUpError(f"`{what}` failed with status {status}: {last[:300]}")
