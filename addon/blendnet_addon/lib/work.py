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
    """Something on its way: `function(stop)` in a thread, then `heard(task)` on the main thread."""

    _numbers = itertools.count(1)

    def __init__(self, what, function, outbox, heard=None):
        self.what = what
        self.number = next(self._numbers)
        """Names it for a button."""
        self.stop = threading.Event()
        """Set by whoever no longer wants it."""
        self.done = False
        """True once its outcome was heard on the main thread."""
        self.result = None
        self.error = None
        self._function = function
        self._outbox = outbox
        self._heard = heard
        self._begun = threading.Lock()

    def run(self):
        """Do it, unless somebody has begun already. For a thread."""
        if not self._begun.acquire(False):
            return
        try:
            self.result = self._function(self.stop)
        except Exception as error:  # noqa: BLE001 - whatever went wrong is told on the main thread
            self.error = error
        self._outbox.put(self._tell)

    def begun(self):
        """Whether somebody does it, or did."""
        return self._begun.locked()

    def end(self):
        """Nobody wants it any more. What waits for its turn need not: it tidies up in a thread of its own."""
        self.stop.set()
        if not self.begun():
            threading.Thread(target=self.run, name="blendnet-end", daemon=True).start()

    def _tell(self):
        self.done = True
        if self._heard is not None:
            self._heard(self)


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
        task = Task(what, function, self._outbox, heard)
        self._queue.put(task)
        return task

    def stop(self):
        """Stop what it does, and begin nothing more."""
        self._ended = True
        running = self._running
        if running is not None:
            running.stop.set()
        self._queue.put(None)

    def end(self, wait_s=2.0):
        """The same, and wait for the end of the thread."""
        self.stop()
        self._thread.join(wait_s)

    def _work(self):
        while True:
            task = self._queue.get()
            if task is None or self._ended:
                return
            self._running = task
            task.run()
            self._running = None
