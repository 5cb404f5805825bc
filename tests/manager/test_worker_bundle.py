"""Fresh machines fetch what they become agents from, and nothing else, without login."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from blendnet.errors import FarmError
from blendnet.manager.worker_bundle import BUNDLE_PATH, own_bundle
from tests.manager.served import Served, serve


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundle") / "bundle.tar.gz"


@pytest.fixture(scope="module")
def served(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(tmp_path_factory.mktemp("farm"), worker_bundle=bundle) as served:
        yield served


def test_bundle_comes_without_login_as_user_data_name_it(served: Served, bundle: Path) -> None:
    bundle.write_bytes(b"a bundle" * 100_000)
    named = own_bundle(bundle, served.url + "/", gpu=True)
    with served.http(user=None) as http:
        answer = http.get(named.url)
    assert hashlib.sha256(answer.content).hexdigest() == named.sha256
    assert named.pinned
    assert named.gpu


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", BUNDLE_PATH, 401),
        ("GET", f"{BUNDLE_PATH}/x", 401),
        ("GET", "/v1/farm", 401),
        ("HEAD", BUNDLE_PATH, 200),
    ],
)
def test_everything_else_wants_a_login(served: Served, bundle: Path, method: str, path: str, status: int) -> None:
    bundle.write_bytes(b"a bundle")
    with served.http(user=None) as http:
        assert http.request(method, path).status_code == status


def test_bundle_that_is_gone_is_said_to_be(served: Served, bundle: Path) -> None:
    bundle.unlink(missing_ok=True)
    with served.http(user=None) as http:
        answer = http.get(BUNDLE_PATH)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    with pytest.raises(FarmError, match="Run `make bundle`"):
        own_bundle(bundle, served.url)


def test_farm_without_a_bundle_wants_a_login_for_it(tmp_path: Path) -> None:
    with serve(tmp_path) as served, served.http(user=None) as http:
        assert http.get(BUNDLE_PATH).status_code == 401
