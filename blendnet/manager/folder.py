"""The data folder of a farm on disk: who may use it, where its files are, what a running farm leaves for others."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from blendnet.errors import Conflict, FarmError
from blendnet.security.private_files import write_private
from blendnet.settings import FARM_FILE

LOCK_FILE = "lock"
USERS_FILE = "users.lock"
RUNTIME_PREFIX = "blendnet-"
RUNTIME_FILE = "runtime"
"""In the data folder: which folder the farm uses for its sockets, written down before it is made."""
LABEL_FILE = "label"
LOOK_S = 0.5


@dataclass(frozen=True, kw_only=True)
class FarmFile:
    """What farm.json says while a farm runs on the folder."""

    url: str
    ca: str
    user: str
    password_file: str
    broker_url: str
    pid: int
    runtime: str
    """Folder of the broker's socket."""
    private: bool
    """True: started by one `blendnet render` for itself, ends with it."""
    version: str
    broker_user: str = ""
    """Who to be at the broker; '': it asks nobody, as nobody else can reach it."""
    broker_password_file: str = ""
    listen: str = ""
    """The address on which other machines reach the farm; '': none can."""


class DataFolder:
    """Paths and locks below one data folder."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self.logs = self.root / "logs"
        self.service_log = self.logs / "service.log"
        self.redis = self.root / "redis"
        self.farm_file = self.root / FARM_FILE
        self.security = self.root / "security"
        self.cloud = self.root / "cloud"
        self.cloud_note = self.cloud / "manager.json"
        """It is there: the farm's Manager is in a cloud, and no farm of the same label may run here."""

    def create(self) -> None:
        """Make the folder, readable by its owner alone.

        Raises:
            FarmError: it cannot be made or written to.
        """
        try:
            for folder in (self.root, self.logs, self.redis):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise FarmError(
                f"cannot keep data in {self.root}: {error.strerror}. Choose another folder with --data"
            ) from error

    def label(self) -> str:
        """What this farm's machines and other things in a cloud are labelled with, from its first start on."""
        file = self.root / LABEL_FILE
        if not file.exists():
            label = f"blendnet-{secrets.token_hex(4)}"
            partial = file.with_name(f"{label}.new")
            partial.write_text(f"{label}\n", "ascii")
            with contextlib.suppress(FileExistsError):
                os.link(partial, file)  # Who is second takes what the first has chosen.
            partial.unlink()
        return file.read_text("ascii").strip()

    def take_label(self, label: str) -> None:
        """Be the farm of that label. Raises Conflict when the folder is another one's."""
        file = self.root / LABEL_FILE
        if not file.exists():
            write_private(file, f"{label}\n".encode())
        if (own := self.label()) != label:
            raise Conflict(f"{self.root} holds the farm {own}, not {label}: give it another disk or folder")

    def known_label(self) -> str:
        """The label; '' while nothing was labelled yet."""
        file = self.root / LABEL_FILE
        return file.read_text("ascii").strip() if file.exists() else ""

    @contextlib.contextmanager
    def owned(self, *, farm: bool = False) -> Iterator[None]:
        """Be the one who works on this folder. `farm`: as its farm, which `farm_pid` finds.

        Raises:
            Conflict: a farm runs on it already.
        """
        with self._open(LOCK_FILE) as descriptor:
            # More than one try: somebody who only looks (`is_owned`) holds the lock for an instant.
            if not _wait_for_lock(descriptor, fcntl.LOCK_EX, timeout_s=LOOK_S):
                raise Conflict(f"a farm runs on {self.root} already: see `blendnet status`")
            os.ftruncate(descriptor, 0)
            with contextlib.suppress(OSError):  # A full disk: the farm is found by its farm.json alone.
                os.write(descriptor, str(os.getpid()).encode() if farm else b"")
            yield

    def farm_pid(self) -> int | None:
        """The process of the farm that runs, starts or ends on this folder, whether or not it left a farm.json."""
        text = (self.root / LOCK_FILE).read_text("ascii") if self.is_owned() else ""
        return int(text) if text.isdigit() else None

    def is_owned(self) -> bool:
        """True while a farm runs, starts or ends on this folder."""
        if not (self.root / LOCK_FILE).exists():
            return False
        with self._open(LOCK_FILE) as descriptor:
            return not _try_lock(descriptor, fcntl.LOCK_SH)

    @contextlib.contextmanager
    def used(self, timeout_s: float = 60.0) -> Iterator[None]:
        """Be a user of the folder's farm: a private farm does not end before its last user.

        The kernel lets go of the lock however this process ends.

        Raises:
            FarmError: a farm is ending on the folder and takes too long.
        """
        self.create()
        with self._open(USERS_FILE) as descriptor:
            if not _wait_for_lock(descriptor, fcntl.LOCK_SH, timeout_s=timeout_s):
                raise FarmError(f"the farm on {self.root} is ending and takes too long: see {self.service_log}")
            yield

    def keep_users_out(self) -> bool:
        """Let nobody become a user of the farm until this process ends; False when there are users now."""
        descriptor = self._open_lock(USERS_FILE)
        if _try_lock(descriptor, fcntl.LOCK_EX):
            return True  # The open file is the lock: it stays open.
        os.close(descriptor)
        return False

    def read(self) -> FarmFile | None:
        """What a farm left in the folder, running or not."""
        try:
            return FarmFile(**json.loads(self.farm_file.read_text("utf-8")))
        except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError, TypeError):
            return None

    def running(self) -> FarmFile | None:
        """The farm that runs on the folder now and can be called."""
        farm = self.read() if self.is_owned() else None
        # A farm that just starts on the folder has not removed the file of a killed one yet.
        return farm if farm and _is_alive(farm.pid) else None

    def write(self, content: FarmFile) -> None:
        """Say where the farm is: 0600, all at once."""
        temporary = self.farm_file.with_name(f"{FARM_FILE}.{os.getpid()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(content), file, indent=1)
        temporary.replace(self.farm_file)

    def clear(self) -> None:
        """Remove what a farm that ended, or was killed, left behind. Only for the owner of the folder."""
        note = self.root / RUNTIME_FILE
        if note.exists():
            left = Path(note.read_text("utf-8"))
            if left.name.startswith(RUNTIME_PREFIX):
                shutil.rmtree(left, ignore_errors=True)
            note.unlink()
        self.farm_file.unlink(missing_ok=True)

    def runtime(self) -> contextlib.AbstractContextManager[Path]:
        """A runtime folder that is removed afterwards; after a kill, at whatever moment, by `clear`."""
        return runtime_folder(note=self.root / RUNTIME_FILE)

    @contextlib.contextmanager
    def _open(self, name: str) -> Iterator[int]:
        descriptor = self._open_lock(name)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _open_lock(self, name: str) -> int:
        return os.open(self.root / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextlib.contextmanager
def runtime_folder(*, note: Path | None = None) -> Iterator[Path]:
    """A fresh folder for sockets, for this user alone, with a path short enough for one; removed afterwards.

    Its path is written to the file `note` before it is made.
    """
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    if not os.access(base, os.W_OK) or len(base) > 60:
        base = "/tmp"
    path = Path(base, RUNTIME_PREFIX + secrets.token_hex(4))
    if note:
        note.write_text(str(path), "utf-8")
    path.mkdir(0o700)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _wait_for_lock(descriptor: int, kind: int, *, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not _try_lock(descriptor, kind):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
