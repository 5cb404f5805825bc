"""What a farm that others reach prepares: ports that stay, a certificate for its addresses, a Redis for nobody yet."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest
from cryptography import x509

from blendnet.errors import FarmError
from blendnet.manager import broker, outside
from blendnet.manager.broker import Outside
from blendnet.manager.folder import DataFolder
from blendnet.manager.outside import Ports
from blendnet.settings import Settings
from tests.manager.served import quick_hashes


def prepare(root: Path, **changes: object) -> tuple[Ports, Outside]:
    folder = DataFolder(root)
    folder.create()
    settings = Settings(**{"data": root, "listen": "127.0.0.1", **changes})
    with quick_hashes():
        return outside.prepare(settings, folder, folder.security, root / "redis.sock")


def test_ports_are_the_same_at_the_next_start(tmp_path: Path) -> None:
    first, _ = prepare(tmp_path)
    assert 0 < first.api != first.broker > 0
    assert prepare(tmp_path)[0] == first


def test_ports_can_be_chosen(tmp_path: Path) -> None:
    free, _ = prepare(tmp_path / "other")
    assert prepare(tmp_path, api_port=free.api, broker_port=free.broker)[0] == free


def test_port_that_agents_know_and_somebody_else_uses_is_an_error(tmp_path: Path) -> None:
    ports, _ = prepare(tmp_path)
    with socket.create_server(("127.0.0.1", ports.broker)):
        with pytest.raises(FarmError, match=f"cannot listen on 127.0.0.1 port {ports.broker}"):
            prepare(tmp_path)


def test_address_of_another_machine_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FarmError, match=r"cannot listen on 192\.0\.2\.1"):
        prepare(tmp_path, listen="192.0.2.1")


def test_certificate_names_all_addresses_that_others_use(tmp_path: Path) -> None:
    _, served = prepare(tmp_path, public_addresses="render.example, 203.0.113.7")
    certificate = x509.load_pem_x509_certificate(served.certificate.certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"render.example", "203.0.113.7", "127.0.0.1"} <= {str(name.value) for name in names}


def test_others_are_told_the_public_address(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, listen="127.0.0.1", public_addresses="2001:db8::1,render.example")
    assert outside.public_url(settings, 8443) == "https://[2001:db8::1]:8443"
    assert outside.public_url(Settings(data=tmp_path, listen="127.0.0.1"), 8443) == "https://127.0.0.1:8443"


def test_any_address_stands_for_those_of_the_machine() -> None:
    found = outside.addresses(Settings(listen="0.0.0.0"))
    assert "127.0.0.1" in found
    assert "0.0.0.0" not in found


def test_secrets_are_for_their_owner_alone_and_the_rules_hold_none(tmp_path: Path) -> None:
    _, served = prepare(tmp_path)
    assert stat.S_IMODE(served.acl_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(served.password_file.stat().st_mode) == 0o600
    assert served.password_file.read_text().strip() not in served.acl_file.read_text()
    assert "user default reset off\n" in served.acl_file.read_text()


def test_local_farm_listens_on_its_socket_alone(tmp_path: Path) -> None:
    command = broker.server_command(Path("redis-server"), socket_path=tmp_path / "redis.sock", folder=tmp_path)
    assert command[command.index("--port") + 1] == "0"
    assert not [word for word in command if "tls" in word or "acl" in word]


def test_redis_without_selectors_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.2.14 sha=00000000:0'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=None)
    with pytest.raises(FarmError, match="Redis or Valkey 7 or newer, with TLS"):
        broker.find_outside_server()
