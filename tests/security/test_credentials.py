"""Logins: generated once, private on disk, checked slowly the first time and quickly afterwards."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from blendnet.errors import FarmError
from blendnet.security.credentials import AGENT, OWNER, ensure_credentials, hash_password, read_password


def test_first_start_makes_private_files_with_different_passwords(tmp_path: Path) -> None:
    ensure_credentials(tmp_path)
    assert {p.name: p.stat().st_mode & 0o777 for p in tmp_path.iterdir()} == dict.fromkeys(
        ["agent-password", "password", "users.json"], 0o600
    )
    assert read_password(tmp_path / "password") != read_password(tmp_path / "agent-password")


def test_users_file_holds_hashes_and_no_password(tmp_path: Path) -> None:
    ensure_credentials(tmp_path)
    text = (tmp_path / "users.json").read_text()
    assert all(login["hash"].startswith("$argon2id$") for login in json.loads(text).values())
    assert read_password(tmp_path / "password") not in text


def test_login_gives_the_role_and_survives_a_restart(tmp_path: Path) -> None:
    ensure_credentials(tmp_path)
    users = ensure_credentials(tmp_path)
    assert users.check(OWNER, read_password(tmp_path / "password")) == "owner"
    assert users.check(AGENT, read_password(tmp_path / "agent-password")) == "agent"


def test_wrong_logins_are_refused(tmp_path: Path) -> None:
    users = ensure_credentials(tmp_path)
    right = read_password(tmp_path / "password")
    for user, password in [(OWNER, ""), (OWNER, right + "x"), (AGENT, right), ("nobody", right), ("", "")]:
        assert users.check(user, password) is None
        assert users.known_role(user, password) is None


def test_login_is_known_only_after_it_was_checked(tmp_path: Path) -> None:
    users = ensure_credentials(tmp_path)
    password = read_password(tmp_path / "password")
    assert users.known_role(OWNER, password) is None
    users.check(OWNER, password)
    assert users.known_role(OWNER, password) == "owner"
    assert users.known_role(OWNER, password + "x") is None


def test_known_login_takes_no_time(tmp_path: Path) -> None:
    users = ensure_credentials(tmp_path)
    password = read_password(tmp_path / "password")
    users.check(OWNER, password)
    started = time.perf_counter()
    for _ in range(1000):
        users.check(OWNER, password)
    assert time.perf_counter() - started < 0.5


def test_lost_password_file_gets_a_new_password(tmp_path: Path) -> None:
    ensure_credentials(tmp_path)
    old = read_password(tmp_path / "password")
    (tmp_path / "password").unlink()
    users = ensure_credentials(tmp_path)
    assert users.check(OWNER, old) is None
    assert users.check(OWNER, read_password(tmp_path / "password")) == "owner"


def test_damaged_users_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "users.json").write_text("[1, 2")
    with pytest.raises(FarmError, match=r"users\.json is damaged"):
        ensure_credentials(tmp_path)


def test_missing_password_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FarmError, match="cannot read the password file"):
        read_password(tmp_path / "password")


# --- the owner's password is known elsewhere -------------------------------------------------------------------------


def test_owner_logs_in_by_a_hash_and_no_file_here_holds_the_password(tmp_path: Path) -> None:
    users = ensure_credentials(tmp_path, owner_hash=hash_password("known at home"))
    assert users.check(OWNER, "known at home") == "owner"
    assert not (tmp_path / "password").exists()
    assert (tmp_path / "agent-password").exists()


def test_a_new_hash_replaces_the_owners_login_and_leaves_the_agents(tmp_path: Path) -> None:
    ensure_credentials(tmp_path)
    agent, before = read_password(tmp_path / "agent-password"), read_password(tmp_path / "password")
    ensure_credentials(tmp_path, owner_hash=hash_password("first"))
    users = ensure_credentials(tmp_path, owner_hash=hash_password("second"))
    assert [users.check(OWNER, word) for word in (before, "first", "second")] == [None, None, "owner"]
    assert users.check(AGENT, agent) == "agent"
    assert not (tmp_path / "password").exists()


def test_the_same_hash_writes_nothing_at_the_next_start(tmp_path: Path) -> None:
    encoded = hash_password("x")
    ensure_credentials(tmp_path, owner_hash=encoded)
    before = (tmp_path / "users.json").stat().st_mtime_ns
    ensure_credentials(tmp_path, owner_hash=encoded)
    assert (tmp_path / "users.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "encoded", ["secret", "$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQ$Ce4WtCQzaRkUb1lBH7wKQQ", "$2b$12$abcdefghijk"]
)
def test_what_is_no_argon2id_hash_is_refused_and_not_repeated(tmp_path: Path, encoded: str) -> None:
    with pytest.raises(FarmError, match="no argon2id hash") as caught:
        ensure_credentials(tmp_path, owner_hash=encoded)
    assert encoded not in str(caught.value)
