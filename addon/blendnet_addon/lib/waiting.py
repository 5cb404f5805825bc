"""Waits that end as soon as the artist does not want the answer any more."""

import threading

from .files import check

LOOK_S = 0.05
"""Between two looks at whether the answer is still wanted."""


def until_stopped(stop, call, *args, **kwargs):
    """What a call returns or raises; Stopped as soon as the event `stop` is set.

    A call that waits for another computer cannot be ended: it is left to its time limit in a thread of its own, and
    what it says then is heard by nobody.
    """
    check(stop)
    ended, outcome = threading.Event(), []

    def run():
        try:
            outcome.append((call(*args, **kwargs), None))
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            outcome.append((None, error))
        ended.set()

    threading.Thread(target=run, name="blendnet-wait", daemon=True).start()
    while not ended.wait(LOOK_S):
        check(stop)
    result, error = outcome.pop()
    if error is not None:
        raise error
    return result


class Stoppable:
    """The requests of a connection.Http, each left alone as soon as the event `stop` is set. Raises Stopped besides."""

    def __init__(self, http, stop):
        self._http = http
        self._stop = stop

    @property
    def login(self):
        return self._http.login

    def get(self, path, **params):
        return until_stopped(self._stop, self._http.get, path, **params)

    def post(self, path, body=None):
        return until_stopped(self._stop, self._http.post, path, body)

    def send(self, method, path, **kwargs):
        return until_stopped(self._stop, self._http.send, method, path, **kwargs)

    def pieces(self, path, first_byte, size):
        found = self._http.pieces(path, first_byte, size)
        while True:
            data = until_stopped(self._stop, next, found, None)
            if data is None:
                return
            yield data
