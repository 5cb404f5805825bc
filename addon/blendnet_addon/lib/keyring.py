"""The system's keyring: libsecret's `secret-tool` on Linux, `security` on macOS, the Credential Manager on Windows.

Secrets go by standard input or memory, never by a command line. All calls may take long: they are for workers.
"""

import base64
import os
import shutil
import subprocess
import sys
from urllib.parse import quote

from .command import clean_environment
from .errors import KeyringError

SERVICE = "blendnet-addon"
LIMIT_S = 20.0
"""A keyring that asks for its password waits no longer for it: the file is used instead."""
BUS_VARIABLES = ("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR")


def account_of(user, url):
    """Under which name a password is kept: no character of it means anything to a shell."""
    return quote(user, safe="") + "@" + quote(url, safe=":/[].-")


def of_this_system():
    """The keyring of this system; None when it has none that could be asked."""
    if sys.platform == "win32":
        from .keyring_windows import CredentialManager

        return CredentialManager()
    if sys.platform == "darwin":
        program = shutil.which("security")
        return Security(program) if program else None
    program = shutil.which("secret-tool")
    return SecretTool(program) if program and _has_bus() else None


def _has_bus():
    """Whether this login has a session bus: without one, asking would start one."""
    address, runtime = (os.environ.get(name, "") for name in BUS_VARIABLES)
    return bool(address) or bool(runtime and os.path.exists(os.path.join(runtime, "bus")))


class SecretTool:
    """The Secret Service (GNOME's keyring, KeePassXC, KWallet) by libsecret's `secret-tool`."""

    name = "the system's keyring"
    MISSING = 1
    """Exit status: there is no such item. With a word on what went wrong: it failed."""

    def __init__(self, program):
        self._program = program

    def store(self, account, secret):
        """Keep a secret. Raises KeyringError."""
        command = [self._program, "store", "--label=BlendNet: " + account] + self._attributes(account)
        _run(command, secret, self.name)

    def load(self, account):
        """The secret. Raises KeyringError, also when there is none."""
        secret = _run([self._program, "lookup"] + self._attributes(account), "", self.name, silent=self.MISSING)
        if not secret:
            raise KeyringError(f"{self.name} has no password for {account}")
        return secret

    def delete(self, account):
        """Forget a secret; none is fine. Raises KeyringError."""
        _run([self._program, "clear"] + self._attributes(account), "", self.name, silent=self.MISSING)

    @staticmethod
    def _attributes(account):
        return ["service", SERVICE, "account", account]


class Security:
    """macOS's keychain by `security`, which reads commands from its standard input.

    What is kept is the secret in base64: as it is, `security` would print it in hexadecimal when it is not ASCII.
    """

    name = "the keychain"
    MISSING = 44
    """Exit status: the item cannot be found."""

    def __init__(self, program):
        self._program = program

    def store(self, account, secret):
        """Keep a secret. Raises KeyringError."""
        _run([self._program, "-i"], self.store_command(account, secret), self.name)
        if self.load(account) != secret:  # With -i its exit status says nothing.
            raise KeyringError(f"{self.name} did not keep the password")

    @staticmethod
    def store_command(account, secret):
        """The line for `security -i`."""
        kept = base64.b64encode(secret.encode("utf-8")).decode("ascii")
        return f'add-generic-password -U -s "{SERVICE}" -a "{account}" -l "BlendNet" -w "{kept}"\n'

    def load(self, account):
        """The secret. Raises KeyringError, also when there is none."""
        command = [self._program, "find-generic-password", "-s", SERVICE, "-a", account, "-w"]
        printed = _run(command, "", self.name).strip()
        try:
            return base64.b64decode(printed, validate=True).decode("utf-8")
        except ValueError as error:
            raise KeyringError(f"{self.name} holds something else for {account}") from error

    def delete(self, account):
        """Forget a secret; none is fine. Raises KeyringError."""
        command = [self._program, "delete-generic-password", "-s", SERVICE, "-a", account]
        _run(command, "", self.name, fine=(0, self.MISSING))


def _run(command, secret, name, fine=(0,), silent=0):
    """What a program prints that gets `secret` on its standard input.

    `fine`: exit statuses that are no failure; `silent`: one more, when the program says nothing. Raises KeyringError.
    """
    try:
        done = subprocess.run(
            command,
            input=secret,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            timeout=LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise KeyringError(f"{name} is locked, or does not answer within {LIMIT_S:.0f} s") from error
    except (OSError, ValueError) as error:
        raise KeyringError(f"{name} cannot be asked ({error})") from error
    said = done.stderr.strip().splitlines()
    if done.returncode not in fine and (said or done.returncode != silent):
        raise KeyringError(f"{name} refuses: {(said or ['it gives no reason'])[-1][:200]}")
    return done.stdout
