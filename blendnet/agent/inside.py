"""Runs inside Blender, as a file: answers JSON commands, one per line, on two pipes until the input ends.

    blender --background --python inside.py -- IN_FD OUT_FD [THREADS]

Command {"id": 1, "do": "open", ...} -> answer {"id": 1, "ok": true, ...} or {"id": 1, "ok": false, "kind": "scene",
"error": "..."}; lines with "event" may come before the answer. bpy and standard library only, Python 3.7 syntax.
"""

import ctypes
import importlib
import json
import os
import queue
import signal
import sys
import threading
import traceback

COMMANDS = {
    "open": ("opening", "open_scene"),
    "describe": ("describe", "describe"),
    "missing": ("dependencies", "collect"),
    "dependencies": ("dependencies", "collect"),
    "prepare": ("chunk", "prepare"),
    "finish": ("finish", "run"),
    "encode": ("finish", "encode"),
}
"""Command -> module of in_blender and its function: takes the command's arguments, returns the answer's fields."""

PR_SET_PDEATHSIG = 1


class Pipes:
    """The two ends of the conversation."""

    def __init__(self, in_fd, out_fd):
        # What Blender starts (ffmpeg) must not keep the pipes open after Blender is gone.
        os.set_inheritable(in_fd, False)
        os.set_inheritable(out_fd, False)
        self._input = os.fdopen(in_fd, "r", encoding="utf-8", newline="\n")
        self._out_fd = out_fd
        self._lock = threading.Lock()
        self.commands = queue.Queue()

    def listen(self):
        """Queue commands; the end of the input ends Blender at once, in the middle of a render too."""
        for line in self._input:
            self.commands.put(json.loads(line))
        leave()

    def send(self, message):
        data = (json.dumps(message) + "\n").encode("utf-8")
        with self._lock:
            while data:
                data = data[os.write(self._out_fd, data) :]


def leave():
    """End without Python's and Blender's own clean-up: some wheels hang in it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def die_with_parent():
    """On Linux the kernel ends Blender when the thread that started it is gone, whatever Blender is busy with."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def hello():
    """What this Blender is and can do."""
    import bpy
    from in_blender import describe, devices, samples

    return {
        "version": describe.version(),
        "pid": os.getpid(),
        "sample_method": samples.method_of(bpy.context.scene.cycles),
        "devices": devices.available(),
        "denoiser": describe.denoiser_available(),
    }


def run(command, emit, threads):
    """Carry one command out and return the fields of its answer."""
    do = command["do"]
    if do == "hello":
        return hello()
    if do == "render":
        from in_blender import chunk

        return chunk.render(command, emit)
    if do not in COMMANDS:
        from in_blender.trouble import Trouble

        raise Trouble("order", "unknown command %r" % do)
    return _run_from_table(command, threads)


def _run_from_table(command, threads):
    do = command["do"]
    module, function = COMMANDS[do]
    if do == "open":
        command = dict(command, threads=threads)
    elif do != "prepare":
        # Everything else wants to see the scene as its author left it.
        importlib.import_module("in_blender.chunk").leave_chunk_mode()
    answer = getattr(importlib.import_module("in_blender." + module), function)(command)
    if do == "missing":
        return {"missing": sorted({entry["path"] for entry in answer["files"] if entry["missing"]})}
    return answer


def answer_to(command, emit, threads):
    """The answer line of a command; errors become part of it."""
    from in_blender.trouble import Trouble, kind_of

    try:
        return dict(run(command, emit, threads), ok=True)
    except Trouble as error:
        return {"ok": False, "kind": error.kind, "error": str(error)}
    except MemoryError:
        return {"ok": False, "kind": "memory", "error": "Blender's Python ran out of memory"}
    except Exception as error:  # noqa: BLE001 - whatever went wrong must reach the agent, not end the conversation
        traceback.print_exc()
        text = "%s: %s" % (type(error).__name__, error)
        return {"ok": False, "kind": kind_of(text), "error": text}


def serve(pipes, threads):
    """Answer commands until told to quit."""
    pipes.send(dict(hello(), id=0, ok=True))
    while True:
        command = pipes.commands.get()
        number = command.get("id")
        if command["do"] == "quit":
            pipes.send({"id": number, "ok": True})
            leave()

        def emit(event, **fields):
            pipes.send(dict(fields, id=number, event=event))

        answer = answer_to(command, emit, threads)
        sys.stdout.flush()
        pipes.send(dict(answer, id=number))


def main(arguments):
    die_with_parent()
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    pipes = Pipes(int(arguments[0]), int(arguments[1]))
    threading.Thread(target=pipes.listen, name="commands", daemon=True).start()
    serve(pipes, int(arguments[2]) if len(arguments) > 2 else 0)


if __name__ == "__main__":
    main(sys.argv[sys.argv.index("--") + 1 :])
