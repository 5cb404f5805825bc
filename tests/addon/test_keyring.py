"""The system's keyring: a real secret-tool with a real keyring, and what is asked of macOS' and Windows' own."""

from __future__ import annotations

import base64
import ctypes
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from addon.blendnet_addon.lib import keyring, keyring_windows
from addon.blendnet_addon.lib.connection import Login
from addon.blendnet_addon.lib.errors import KeyringError, NotConnected
from addon.blendnet_addon.lib.kept_login import KeptLogin
from tests.conftest import unavailable

ROOT = Path(__file__).resolve().parents[2]
SECRET = 'pä"ss $wörd\\n `x`'
LOGIN = Login("https://farm.example:8443", "PEM", "own er", SECRET)
IN_SESSION = """
import json, os, subprocess, sys, threading
sys.path.insert(0, sys.argv[1])
from addon.blendnet_addon.lib import keyring
from addon.blendnet_addon.lib.connection import Login
from addon.blendnet_addon.lib.errors import KeyringError
from addon.blendnet_addon.lib.kept_login import KeptLogin
folder, secret = sys.argv[2], sys.stdin.readline().rstrip("\\n")
ring = keyring.of_this_system()
told = {"ring": type(ring).__name__}
login = Login("https://farm.example:8443", "PEM", "own er", secret)
kept = KeptLogin(folder, ring)
kept.keep_known(login)
told["note"], told["files"] = kept.note, sorted(os.listdir(folder))
told["again"] = KeptLogin(folder, ring).login().password
kept.keep_known(Login(login.url, "PEM", "own er", "another"))
told["changed"] = KeptLogin(folder, ring).login().password
kept.forget()(threading.Event())
try:
    ring.load(keyring.account_of(login.user, login.url))
except KeyringError as error:
    told["forgotten"] = str(error)
print(json.dumps(told))
"""


Session = Callable[[str], dict[str, Any]]


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """Runs IN_SESSION in a login of its own, with the keyring that a command starts there; what it tells."""
    missing = [name for name in ("dbus-run-session", "gnome-keyring-daemon", "secret-tool") if not shutil.which(name)]
    if missing:
        unavailable(f"no {', '.join(missing)}: see TEST_PACKAGES in the Makefile")
    home = tmp_path / "home"
    (home / "run").mkdir(parents=True, mode=0o700)
    kept = {"HOME": home, "XDG_RUNTIME_DIR": home / "run", "XDG_DATA_HOME": home, "PATH": os.environ["PATH"]}
    variables = [f"{name}={value}" for name, value in kept.items()]

    def run(start: str) -> dict[str, Any]:
        command = ["env", "-i", *variables, "dbus-run-session", "--", "sh", "-c", f'{start} >/dev/null; "$@"', "sh"]
        done = subprocess.run(
            [*command, sys.executable, "-c", IN_SESSION, str(ROOT), str(tmp_path / "kept")],
            input=SECRET + "\n", capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    return run


def test_password_is_in_a_real_keyring_and_in_no_file(session: Session) -> None:
    assert session("printf open | gnome-keyring-daemon --unlock --components=secrets") == {
        "ring": "SecretTool", "note": "", "files": ["manager.json"], "again": SECRET, "changed": "another",
        "forgotten": "the system's keyring has no password for own%20er@https://farm.example:8443",
    }  # fmt: skip


def test_locked_keyring_lets_the_file_keep_the_password(session: Session) -> None:
    told = session("gnome-keyring-daemon --start --components=secrets")
    assert told["files"] == ["manager.json", "manager.password"]
    assert told["again"] == SECRET
    assert told["note"].startswith("The password is in a file that only you can read, because the system's keyring ")


@pytest.mark.skipif(sys.platform != "linux", reason="of secret-tool")
def test_keyring_is_not_asked_without_a_session_bus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "secret-tool"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in keyring.BUS_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert keyring.of_this_system() is None
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert keyring.of_this_system() is None
    (tmp_path / "bus").touch()
    assert isinstance(keyring.of_this_system(), keyring.SecretTool)


def test_keyring_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "secret-tool"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(keyring, "LIMIT_S", 0.2)
    kept = KeptLogin(str(tmp_path / "kept"), keyring.SecretTool(str(program)))
    kept.keep_known(LOGIN)
    assert "because the system's keyring is locked, or does not answer within" in kept.note
    assert kept.login().password == SECRET
    with pytest.raises(KeyringError, match="cannot be asked"):
        keyring.SecretTool(str(tmp_path / "gone")).load("me")


class Ring:
    """A keyring in memory."""

    name = "the ring"

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.locked = False
        self.asked = 0

    def store(self, account: str, secret: str) -> None:
        self._check()
        self.kept[account] = secret

    def load(self, account: str) -> str:
        self.asked += 1
        self._check()
        return self.kept[account]

    def delete(self, account: str) -> None:
        self._check()
        self.kept.pop(account, None)

    def _check(self) -> None:
        if self.locked:
            raise KeyringError("the ring is locked")


def test_keyring_is_asked_once_and_not_again_and_again_while_it_is_locked(tmp_path: Path) -> None:
    ring = Ring()
    KeptLogin(str(tmp_path), ring).keep_known(LOGIN)
    kept = KeptLogin(str(tmp_path), ring)
    ring.locked = True
    for _ in range(3):
        with pytest.raises(NotConnected, match="the ring is locked: unlock it, or connect again"):
            kept.login()
    assert ring.asked == 1
    ring.locked = False
    kept = KeptLogin(str(tmp_path), ring)
    assert [kept.login().password for _ in range(3)] == [SECRET] * 3
    assert ring.asked == 2
    with pytest.raises(NotConnected, match="a keyring that is not there now"):
        KeptLogin(str(tmp_path)).login()


def test_another_kind_of_farm_leaves_no_password_behind(tmp_path: Path) -> None:
    ring = Ring()
    kept = KeptLogin(str(tmp_path), ring)
    kept.keep_known(LOGIN)
    kept.keep_here("/data", "/usr/bin/blendnet")
    assert ring.kept == {}
    kept.keep_known(LOGIN)
    kept.keep_known(Login("https://other:1", "PEM", "owner", "x"))
    assert list(ring.kept) == ["owner@https://other:1"]
    ring.locked = True
    kept.keep_known(LOGIN)
    assert "the ring is locked" in kept.note
    assert (tmp_path / "manager.password").read_text("utf-8") == SECRET


SECURITY = """
import json, sys
folder, kept = {folder!r}, {folder!r} + "/item"
said = sys.stdin.read()
with open(folder + "/calls", "a") as file:
    file.write(json.dumps([sys.argv[1:], said]) + chr(10))
if sys.argv[1] == "-i":
    open(kept, "w").write(said.split('-w "')[1].split('"')[0])
elif sys.argv[1] == "find-generic-password":
    print(open(kept).read())
else:
    sys.exit(44)
"""


def test_macos_keychain_gets_the_password_by_standard_input_alone(tmp_path: Path) -> None:
    program = tmp_path / "security"
    program.write_text(f"#!{sys.executable}\n" + SECURITY.format(folder=str(tmp_path)))
    program.chmod(0o755)
    ring, account = keyring.Security(str(program)), keyring.account_of('o"wner', "https://[::1]:8443")
    assert account == "o%22wner@https://[::1]:8443"
    ring.store(account, SECRET)
    assert ring.load(account) == SECRET
    ring.delete(account)
    calls = [json.loads(line) for line in (tmp_path / "calls").read_text("utf-8").splitlines()]
    encoded = base64.b64encode(SECRET.encode()).decode()
    line = f'add-generic-password -U -s "blendnet-addon" -a "{account}" -l "BlendNet" -w "{encoded}"\n'
    named = ["-s", "blendnet-addon", "-a", account]
    assert calls[0] == [["-i"], line]
    assert calls[1:] == [
        [["find-generic-password", *named, "-w"], ""],
        [["find-generic-password", *named, "-w"], ""],
        [["delete-generic-password", *named], ""],
    ]


class Advapi32:
    """The four calls of Windows, with their memory."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.freed = 0
        self.error = 0
        self._given: list[Any] = []

    def CredWriteW(self, wanted: Any, flags: int) -> int:
        made = wanted._obj
        assert (made.Type, made.Persist, flags) == (1, 2, 0)
        self.kept[made.TargetName] = ctypes.string_at(made.CredentialBlob, made.CredentialBlobSize)
        return 1

    def CredReadW(self, target: str, kind: int, flags: int, found: Any) -> int:
        if target not in self.kept:
            self.error = keyring_windows.NOT_FOUND
            return 0
        blob = ctypes.create_string_buffer(self.kept[target], len(self.kept[target]))
        given = keyring_windows.Credential(
            Type=kind, CredentialBlobSize=len(self.kept[target]), CredentialBlob=ctypes.cast(blob, ctypes.c_void_p)
        )
        self._given += [blob, given]
        found._obj.contents = given
        return 1

    def CredDeleteW(self, target: str, kind: int, flags: int) -> int:
        self.error = 0 if target in self.kept else keyring_windows.NOT_FOUND
        return int(self.kept.pop(target, None) is not None)

    def CredFree(self, found: Any) -> None:
        self.freed += 1


def test_windows_credential_manager_is_asked_as_wincred_h_says() -> None:
    library = Advapi32()
    ring = keyring_windows.CredentialManager(library, lambda: library.error)
    ring.store("owner@https://farm:1", SECRET)
    assert library.kept == {"BlendNet:owner@https://farm:1": SECRET.encode("utf-16-le")}
    assert ring.load("owner@https://farm:1") == SECRET
    assert library.freed == 1
    ring.delete("owner@https://farm:1")
    ring.delete("owner@https://farm:1")
    with pytest.raises(KeyringError, match=r"does not give the password for owner@https://farm:1 \(error 1168\)"):
        ring.load("owner@https://farm:1")
    with pytest.raises(KeyringError, match="too long"):
        ring.store("owner@https://farm:1", "x" * 1281)
    if ctypes.sizeof(ctypes.c_void_p) == 8:
        assert ctypes.sizeof(keyring_windows.Credential) == 80
        assert keyring_windows.Credential.CredentialBlob.offset == 40
