"""HTTPS to one Manager: its CA alone is trusted, no proxies, no redirects, a time limit for everything."""

import base64
import http.client
import json
import socket
import ssl
import threading
import time
import weakref
from urllib.parse import urlencode

from .addresses import host_and_port, is_this_computer
from .certificates import only_certificate
from .errors import AddonError, Offline, Refused, Unreachable, Untrusted, WrongLogin

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 60.0
KEEP_ALIVE_S = 30.0
"""Idle connections are dropped before the Manager does it (75 s)."""
HOSTNAME_MISMATCH = (62, 64)
"""OpenSSL's numbers for a certificate that names another host or address."""
USER_AGENT = "blendnet-addon"


class Login:
    """Where a Manager is and how to log in."""

    def __init__(self, url, ca_pem, user, password):
        self.url = url
        self.ca_pem = ca_pem
        self.user = user
        self.password = password

    def __repr__(self):
        return f"Login({self.url!r}, user={self.user!r})"


class Http:
    """Requests to one Manager on kept connections. Safe to use from threads."""

    def __init__(self, login, online=True):
        """`online`: whether Blender may use the internet; this computer is always allowed. Raises AddonError."""
        if not online and not is_this_computer(login.url):
            raise Offline(
                f"Blender may not use the internet, so {login.url} is not asked: switch on Preferences > System > "
                "Network > Allow Online Access"
            )
        self.login = login
        try:
            self._tls = ssl.create_default_context(cadata=only_certificate(login.ca_pem))
        except (ssl.SSLError, ValueError) as error:
            raise AddonError(
                f"the certificate for {login.url} cannot be used ({error}): connect again, with the Manager's "
                "security/ca.crt or none"
            ) from error
        self._lock = threading.Lock()
        self._idle = []
        """(when it was used last, connection)"""
        self._closed = self._aborted = False
        self._lines = weakref.WeakSet()
        """All that are open, idle or not."""

    def get(self, path, **params):
        """JSON of a GET."""
        return self.json("GET", path, params=params)

    def post(self, path, body=None):
        """JSON of a POST."""
        return self.json("POST", path, body=json.dumps(body or {}).encode("utf-8"))

    def json(self, method, path, params=None, body=None):
        """The answer's JSON. Raises as `send`."""
        data = self.send(method, path, params=params, body=body)
        try:
            return json.loads(data.decode("utf-8"))
        except ValueError:
            raise Unreachable(f"{self.login.url} answered something that no Manager says: check the address") from None

    def send(self, method, path, params=None, body=None, length=None, timeout_s=READ_TIMEOUT_S):
        """The whole body of an answer. `body`: bytes, or an iterable of `length` bytes.

        Raises what `_refusal` makes of a status of 300 and above, Unreachable, Untrusted.
        """
        headers = {} if body is None else {"Content-Type": "application/json"}
        if length is not None:
            headers = {"Content-Length": str(length)}
        line, answer = self._ask(method, path, params, body, headers, timeout_s)
        return self._rest(line, answer)

    def pieces(self, path, first_byte, size):
        """The body of a GET from `first_byte` on, in pieces of up to `size` bytes.

        Raises as `send`, and Unreachable when it was cut off.
        """
        headers = {"Range": f"bytes={first_byte}-"} if first_byte else {}
        line, answer = self._ask("GET", path, None, None, headers, READ_TIMEOUT_S)
        whole = False
        try:
            while True:
                with self._reach(line):
                    data = answer.read(size)
                if not data:
                    break
                yield data
            if answer.length:
                raise Unreachable(f"{self.login.url} cut the line: it is tried again")
            whole = True
            self._give_back(line)
        finally:
            if not whole:
                line.close()

    def close(self):
        """Drop idle connections, and those in use when they are done."""
        with self._lock:
            self._closed, idle, self._idle = True, self._idle, []
        for _, line in idle:
            line.close()

    def abort(self):
        """Cut every connection, at the end: whoever waits for an answer hears that there is none."""
        self._aborted = True
        self.close()
        with self._lock:
            lines = list(self._lines)
        for line in lines:
            _cut(line)

    def _ask(self, method, path, params, body, headers, timeout_s):
        """(connection, its answer, still to be read) of a request that was not refused."""
        target = path + ("?" + urlencode({k: v for k, v in params.items() if v is not None}) if params else "")
        login = f"{self.login.user}:{self.login.password}".encode()
        headers = dict(headers, Authorization="Basic " + base64.b64encode(login).decode("ascii"))
        headers["User-Agent"] = USER_AGENT
        with self._reach(None):
            line, answer = self._exchange(method, target, body, headers, timeout_s)
        if answer.status >= 300:
            raise _refusal(self.login, method, path, answer.status, self._rest(line, answer))
        return line, answer

    def _rest(self, line, answer):
        with self._reach(line):
            data = answer.read()
        self._give_back(line)
        return data

    def _exchange(self, method, target, body, headers, timeout_s):
        line = self._take_idle()
        if line is not None:
            try:
                return line, _request(line, method, target, body, headers, timeout_s)
            except (http.client.RemoteDisconnected, ConnectionError):
                line.close()
                # It may have been closed meanwhile: that says nothing yet.
                if method != "GET" or self._aborted:
                    raise
            except BaseException:
                line.close()
                raise
        host, port = host_and_port(self.login.url)
        line = http.client.HTTPSConnection(host, port, timeout=CONNECT_TIMEOUT_S, context=self._tls)
        with self._lock:
            self._lines.add(line)
        try:
            line.connect()
            if self._aborted:
                raise ConnectionAbortedError("it is no longer asked")
            return line, _request(line, method, target, body, headers, timeout_s)
        except BaseException:
            line.close()
            raise

    def _take_idle(self):
        """A kept connection that the Manager has not dropped yet; None when there is none."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                used_at, line = self._idle.pop()
            if time.monotonic() - used_at < KEEP_ALIVE_S and line.sock is not None:
                return line
            line.close()

    def _give_back(self, line):
        with self._lock:
            if not self._closed:
                self._idle.append((time.monotonic(), line))
                return
        line.close()

    def _reach(self, line):
        return _Reach(self.login.url, line)


def _cut(line):
    sock = line.sock
    if sock is not None:
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # It is cut already.


def _request(connection, method, target, body, headers, timeout_s):
    connection.sock.settimeout(timeout_s)
    connection.request(method, target, body=body, headers=headers)
    return connection.getresponse()


class _Reach:
    """Turns what goes wrong on the line into the add-on's errors, and drops the line."""

    def __init__(self, url, line):
        self._url = url
        self._line = line

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is None:
            return False
        if self._line is not None:
            self._line.close()
        if isinstance(error, AddonError) or not isinstance(error, (OSError, http.client.HTTPException)):
            return False
        raise _trouble(self._url, error) from error


def _trouble(url, error):
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in HOSTNAME_MISMATCH:
            return Untrusted(f"the certificate at {url} is for another address: use the one its farm listens on")
        return Untrusted(
            f"{url} shows another certificate than the one you confirmed: if its owner made a new one, connect again "
            "and compare the fingerprint; otherwise somebody is in between"
        )
    if isinstance(error, socket.timeout):
        return Unreachable(f"{url} does not answer in time: check the network, it is tried again")
    return Unreachable(f"{url} cannot be reached ({_words(error)}): check that the farm is up")


def _words(error):
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _refusal(login, method, path, status, data):
    """The error that an answer with a status of 300 and above stands for."""
    if status == 401:
        return WrongLogin(f"{login.url} does not accept this password for user {login.user!r}: enter it again")
    if 300 <= status < 400:
        return Unreachable(f"{login.url} sends us elsewhere, which no Manager does: check the address")
    try:
        body = json.loads(data.decode("utf-8"))
        return Refused(body["message"], body["code"], status, body.get("details"))
    except (ValueError, KeyError, TypeError):
        return Refused(f"{login.url} answered {method} {path} with status {status}", "refused", status)
