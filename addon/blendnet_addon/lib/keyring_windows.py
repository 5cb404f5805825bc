"""Windows' Credential Manager, by ctypes: a generic credential for each login, for this user on this computer."""

import ctypes

from .errors import KeyringError

GENERIC, LOCAL_MACHINE = 1, 2
"""CRED_TYPE_GENERIC, CRED_PERSIST_LOCAL_MACHINE: it outlives the session, and does not roam."""
NOT_FOUND = 1168
BLOB_MAX_BYTES = 2560
PREFIX = "BlendNet:"


class _FileTime(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint32), ("high", ctypes.c_uint32)]


class Credential(ctypes.Structure):
    """CREDENTIALW of wincred.h."""

    _fields_ = [
        ("Flags", ctypes.c_uint32),
        ("Type", ctypes.c_uint32),
        ("TargetName", ctypes.c_wchar_p),
        ("Comment", ctypes.c_wchar_p),
        ("LastWritten", _FileTime),
        ("CredentialBlobSize", ctypes.c_uint32),
        ("CredentialBlob", ctypes.c_void_p),
        ("Persist", ctypes.c_uint32),
        ("AttributeCount", ctypes.c_uint32),
        ("Attributes", ctypes.c_void_p),
        ("TargetAlias", ctypes.c_wchar_p),
        ("UserName", ctypes.c_wchar_p),
    ]


class CredentialManager:
    """It answers at once and asks nobody."""

    name = "the Credential Manager"

    def __init__(self, library=None, last_error=None):
        """`library`: advapi32, with the calls CredWriteW, CredReadW, CredDeleteW, CredFree."""
        self._library = library or ctypes.WinDLL("advapi32", use_last_error=True)
        self._last_error = last_error or ctypes.get_last_error

    def store(self, account, secret):
        """Keep a secret. Raises KeyringError."""
        wanted, kept = credential(account, secret)
        if not self._library.CredWriteW(ctypes.byref(wanted), 0):
            raise self._error("does not keep the password")
        del kept  # Until here its memory had to stay.

    def load(self, account):
        """The secret. Raises KeyringError, also when there is none."""
        found = ctypes.POINTER(Credential)()
        if not self._library.CredReadW(PREFIX + account, GENERIC, 0, ctypes.byref(found)):
            raise self._error(f"does not give the password for {account}")
        try:
            blob = ctypes.string_at(found.contents.CredentialBlob, found.contents.CredentialBlobSize)
        finally:
            self._library.CredFree(found)
        return blob.decode("utf-16-le")

    def delete(self, account):
        """Forget a secret; none is fine. Raises KeyringError."""
        done = self._library.CredDeleteW(PREFIX + account, GENERIC, 0)
        if not done and self._last_error() != NOT_FOUND:
            raise self._error("does not forget the password")

    def _error(self, what):
        return KeyringError(f"{self.name} {what} (error {self._last_error()})")


def credential(account, secret):
    """(Credential, the memory that it points to). Raises KeyringError: it is too long."""
    blob = secret.encode("utf-16-le")
    if len(blob) > BLOB_MAX_BYTES:
        raise KeyringError(f"the password is too long for {CredentialManager.name}")
    kept = ctypes.create_string_buffer(blob, len(blob))
    made = Credential()
    made.Type, made.Persist = GENERIC, LOCAL_MACHINE
    made.TargetName, made.UserName = PREFIX + account, account
    made.CredentialBlobSize = len(blob)
    made.CredentialBlob = ctypes.cast(kept, ctypes.c_void_p)
    return made, kept
