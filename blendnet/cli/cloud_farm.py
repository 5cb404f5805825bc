"""What this machine knows of the farm's Manager in a cloud: in the data folder, readable by its owner alone.

A data folder with such a note is that of a farm in a cloud: all commands speak to its Manager.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from blendnet.cli.cloud_place import Choice
from blendnet.client import Connection
from blendnet.errors import Conflict, FarmError
from blendnet.manager.folder import DataFolder
from blendnet.security.credentials import OWNER, make_password, read_password
from blendnet.security.private_files import write_private
from blendnet.security.published import Published
from blendnet.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Note:
    """Where the Manager is."""

    provider: str
    region: str
    options: Mapping[str, str] = field(default_factory=dict)
    """Of the provider (Place.options)."""
    bucket: str = ""
    """The farm's, whose name stands for an account or project; '': an older BlendNet made it."""
    url: str = ""
    """'': it has not said so yet."""
    fingerprint: str = ""
    """Of the farm's authority, whose certificate is in `ca`."""

    @property
    def place(self) -> str:
        """For people."""
        return f"{self.provider}, {self.region}" if self.region else self.provider

    def choice(self, choice: Choice) -> Choice | None:
        """With what is noted where the options say nothing; None: they name another place."""
        for given, noted in ((choice.provider, self.provider), (choice.region, self.region)):
            if given and noted and given != noted:
                return None
        region = self.region if choice.region is None else choice.region
        return Choice(self.provider, region, {**self.options, **choice.options})

    def check_login(self, bucket: str) -> None:
        """`bucket`: what the farm's would be by the cloud login of now.

        Raises Conflict: it is that of another account, where nothing is of the farm, and that must not pass for the
        truth.
        """
        if self.bucket and self.bucket != bucket:
            raise Conflict(
                f"your cloud login is for another account or project than the one of this farm's Manager: its bucket "
                f"is {self.bucket}, here it would be {bucket}. Log in there, or name it (AWS_PROFILE; "
                "GOOGLE_CLOUD_PROJECT; --option profile=NAME or project=NAME)"
            )


class CloudFarm:
    """The note of one data folder, with password and authority."""

    def __init__(self, folder: DataFolder) -> None:
        self.folder = folder
        self.ca = folder.cloud / "ca.crt"
        self.password_file = folder.cloud / "password"
        self.bundle = folder.cloud / "bundle.tar.gz"
        """Packed here for its machine."""

    def read(self) -> Note | None:
        """None: the folder's farm is not in a cloud. Raises FarmError when the note is damaged."""
        try:
            return Note(**json.loads(self.folder.cloud_note.read_text("utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            path = self.folder.cloud_note
            raise FarmError(
                f"{path} is damaged ({error}): `blendnet cloud up` writes it anew once it is gone"
            ) from error

    def write(self, note: Note) -> None:
        """Remember it."""
        write_private(self.folder.cloud_note, json.dumps(asdict(note), indent=1).encode())

    def password(self) -> str:
        """The owner's password, made when it is asked for first."""
        if not self.password_file.is_file():
            write_private(self.password_file, make_password().encode() + b"\n")
        return read_password(self.password_file)

    def learn(self, said: Published) -> bool:
        """Note what the Manager says of itself; True when it is of another authority than before."""
        note = self.read()
        assert note is not None
        write_private(self.ca, said.ca_pem.encode())
        self.write(replace(note, url=said.url, fingerprint=said.fingerprint))
        return note.fingerprint not in ("", said.fingerprint)

    def connection(self, note: Note, settings: Settings) -> Connection:
        """How to reach it. Raises Conflict when it has not said where it is."""
        if not note.url:
            raise Conflict(
                f"the Manager of this farm ({note.place}) has not said yet where it is: `blendnet cloud up` goes on "
                "with making it"
            )
        timeouts = settings.connect_timeout_s, settings.read_timeout_s
        return Connection(note.url, self.ca, OWNER, self.password_file, *timeouts)

    def forget(self) -> None:
        """There is no Manager in a cloud any more."""
        for path in (self.folder.cloud_note, self.ca, self.password_file, self.bundle):
            Path(path).unlink(missing_ok=True)
