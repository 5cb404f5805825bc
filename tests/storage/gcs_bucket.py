"""Google Cloud Storage for tests: its emulator on a free port, the real client, and a key to sign with."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.oauth2 import service_account

from blendnet.storage.gcs import GcsBucket, make_client

SCRIPT = """
import threading
from gcp_storage_emulator.server import create_server
server = create_server("127.0.0.1", 0, in_memory=True)
server.start()
print(server._api._httpd.server_address[1], flush=True)
threading.Event().wait()
"""


@dataclass(frozen=True)
class Gcs:
    """A running emulator."""

    url: str

    @property
    def client(self) -> storage.Client:
        return make_client(
            credentials=AnonymousCredentials(), project="test", client_options={"api_endpoint": self.url}
        )

    def bucket(self) -> str:
        """Name of a fresh bucket."""
        name = f"farm-{uuid.uuid4().hex[:12]}"
        self.client.create_bucket(name)
        return name

    def open(self, name: str, prefix: str = "") -> GcsBucket:
        return GcsBucket(name, prefix, client=self.client, signer=_signer())


@cache
def _signer() -> service_account.Credentials:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return service_account.Credentials.from_service_account_info(
        {
            "client_email": "farm@test.iam.gserviceaccount.com",
            "private_key": pem.decode(),
            "token_uri": "https://localhost/token",
        }
    )


@contextmanager
def running_emulator() -> Iterator[Gcs]:
    """An emulator in a process of its own that ends with the block."""
    command = [sys.executable, "-c", SCRIPT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout
            yield Gcs(f"http://127.0.0.1:{int(process.stdout.readline())}")
        finally:
            process.kill()
