"""A Manager that says in its bucket where it is: its certificate fits, and both follow the machine's address."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509 import SubjectAlternativeName
from fastapi import FastAPI

from blendnet.errors import NoticeUnknown, StoreUnreachable
from blendnet.manager.announce import Announcer
from blendnet.manager.api_server import ApiServer
from blendnet.provision.manager_machine import PUBLISHED
from blendnet.security.ca import ensure_server_certificate
from blendnet.security.published import Published, read_published
from blendnet.settings import Settings
from tests.agent.metadata_fakes import Fake, metadata_service
from tests.manager.served import wait_until


class Bucket:
    """Objects in memory; of an ObjectBucket the one call that is made."""

    where = "s3://farm"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.puts = 0
        self.away = False

    def put(self, key: str, path: Path, *, sha256: str, size_bytes: int, replace: bool = False) -> bool:
        if self.away:
            raise StoreUnreachable("the bucket does not answer")
        assert replace
        data = path.read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (sha256, size_bytes)
        self.puts += 1
        self.objects[key] = data
        return True

    def said(self) -> Published:
        return read_published(self.objects[PUBLISHED])


@pytest.fixture
def fake() -> Iterator[Fake]:
    with metadata_service() as found:
        found.address = "203.0.113.7"
        yield found


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def renewals() -> list[int]:
    return []


@pytest.fixture
def announcer(tmp_path: Path, fake: Fake, bucket: Bucket, renewals: list[int]) -> Announcer:
    settings = Settings(listen="127.0.0.1", manager_cloud="aws", notice_url=fake.url)
    ensure_server_certificate(tmp_path, ["127.0.0.1"])
    return Announcer(
        settings, tmp_path, bucket, port=443, renewed=lambda: renewals.append(1), clock=lambda: 7.0  # type: ignore[arg-type]
    )  # fmt: skip


def names(security: Path) -> set[str]:
    certificate = x509.load_pem_x509_certificate((security / "server.crt").read_bytes())
    return {str(name.value) for name in certificate.extensions.get_extension_for_class(SubjectAlternativeName).value}


def test_manager_says_its_public_address_under_a_certificate_for_it(
    announcer: Announcer, bucket: Bucket, tmp_path: Path, renewals: list[int]
) -> None:
    announcer.tick()
    said = bucket.said()
    assert (said.url, said.time, said.ended) == ("https://203.0.113.7:443", 7.0, "")
    assert said.ca_pem == (tmp_path / "ca.crt").read_text()
    assert "203.0.113.7" in names(tmp_path)
    assert renewals == [1]


def test_nothing_is_said_twice(announcer: Announcer, bucket: Bucket, renewals: list[int]) -> None:
    for _ in range(3):
        announcer.tick()
    assert (bucket.puts, renewals) == (1, [1])


def test_a_new_address_is_said_and_certified(
    announcer: Announcer, bucket: Bucket, fake: Fake, tmp_path: Path, renewals: list[int]
) -> None:
    announcer.tick()
    authority = bucket.said().fingerprint
    fake.address = "203.0.113.8"
    announcer.tick()
    assert bucket.said().url == "https://203.0.113.8:443"
    assert bucket.said().fingerprint == authority
    assert {"203.0.113.8", "127.0.0.1"} <= names(tmp_path)
    assert "203.0.113.7" not in names(tmp_path)
    assert renewals == [1, 1]


def test_without_a_public_address_the_machines_own_is_said(announcer: Announcer, bucket: Bucket, fake: Fake) -> None:
    fake.address = ""
    announcer.tick()
    assert bucket.said().url == "https://127.0.0.1:443"


def test_what_did_not_work_is_done_the_next_time(announcer: Announcer, bucket: Bucket, fake: Fake) -> None:
    fake.status = 500
    with pytest.raises(NoticeUnknown):
        announcer.tick()
    fake.status, bucket.away = None, True
    with pytest.raises(StoreUnreachable):
        announcer.tick()
    bucket.away = False
    announcer.tick()
    assert bucket.said().url == "https://203.0.113.7:443"


def test_it_says_why_it_ended(announcer: Announcer, bucket: Bucket) -> None:
    announcer.say_ended("too early: nothing was said yet")
    assert bucket.objects == {}
    announcer.tick()
    announcer.say_ended("nothing to do")
    assert (bucket.said().ended, bucket.said().url) == ("nothing to do", "https://203.0.113.7:443")
    bucket.away = True
    announcer.say_ended("no error")


def test_the_thread_says_it_by_itself(announcer: Announcer, bucket: Bucket) -> None:
    announcer.start()
    wait_until(lambda: PUBLISHED in bucket.objects, 10.0)
    announcer.stop()


def test_server_shows_a_renewed_certificate_without_a_restart(tmp_path: Path) -> None:

    certificate = ensure_server_certificate(tmp_path)
    server = ApiServer(FastAPI(), certificate, host="127.0.0.1")
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started, 20.0)
        port = int(server.url.rpartition(":")[2])

        def shown() -> bytes | None:
            context = ssl.create_default_context(cafile=str(certificate.ca))
            with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
                with context.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
                    return secure.getpeercert(binary_form=True)

        first = shown()
        ensure_server_certificate(tmp_path, ["203.0.113.7"])
        assert shown() == first
        server.renew()
        renewed = shown()
        assert renewed != first
        assert renewed == ssl.PEM_cert_to_DER_cert(certificate.certificate.read_text())
    finally:
        server.stop()
        thread.join()
