"""Threads that do what takes time, and the queue by which the main thread hears of it."""

import itertools
import queue
import threading
import time


def guarded(failed, call, *args):
    """Make a call; `failed(error)` hears what it raises. None: it is raised here."""
    try:
        call(*args)
    except Exception as error:  # noqa: BLE001 - whatever it is, whoever calls goes on
        if failed is None:
            raise
        failed(error)


class Outbox:
    """What threads have to say to the main thread, in order."""

    def __init__(self):
        self._queue = queue.Queue()

    def put(self, call, *args):
        self._queue.put((call, args))

    def drain(self, limit_s, failed=None):
        """Make the calls that wait, for at most about `limit_s`; how many those were.

        `failed(error)` hears what a call raises, and the next one follows; None: it is raised here.
        """
        until, count = time.monotonic() + limit_s, 0
        while time.monotonic() < until:
            try:
                call, args = self._queue.get_nowait()
            except queue.Empty:
                break
            count += 1
            guarded(failed, call, *args)
        return count


class Task:
    """Something on its way."""

    _numbers = itertools.count(1)

    def __init__(self, what):
        self.what = what
        self.number = next(self._numbers)
        """Names it for a button."""
        self.stop = threading.Event()
        """Set by whoever no longer wants it."""
        self.done = False
        """True once its outcome was heard on the main thread."""
        self.result = None
        self.error = None


class Worker:
    """One thread that does one thing after another."""

    def __init__(self, name, outbox):
        self._outbox = outbox
        self._queue = queue.Queue()
        self._running = None
        self._ended = False
        self._thread = threading.Thread(target=self._work, name=f"blendnet-{name}", daemon=True)
        self._thread.start()

    def do(self, what, function, heard=None):
        """Let the thread call `function(stop)`; then the main thread calls `heard(task)`. Returns the task."""
        task = Task(what)
        self._queue.put((task, function, heard))
        return task

    @property
    def waiting(self):
        """How many things it has still to begin."""
        return self._queue.qsize()

    def end(self, wait_s=2.0):
        """Stop what it does and end the thread."""
        self._ended = True
        running = self._running
        if running is not None:
            running.stop.set()
        self._queue.put(None)
        self._thread.join(wait_s)

    def _work(self):
        while True:
            item = self._queue.get()
            if item is None or self._ended:
                return
            task, function, heard = item
            self._running = task
            try:
                task.result = function(task.stop)
            except Exception as error:  # noqa: BLE001 - whatever went wrong is told on the main thread
                task.error = error
            self._running = None
            self._outbox.put(_hear, task, heard)


def _hear(task, heard):
    task.done = True
    if heard is not None:
        heard(task)
