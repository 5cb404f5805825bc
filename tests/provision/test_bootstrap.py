"""User data of machines: what it holds, that no name breaks out of it, that it fits, and what cloud-init says to it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from blendnet.errors import UserError
from blendnet.provision import bootstrap, stock
from blendnet.provision.bootstrap import Identity, user_data
from blendnet.provision.cloud_init import LIMIT_BYTES, NAME
from blendnet.provision.stock import Bundle
from blendnet.security.ca import ensure_server_certificate
from tests.provision.bundle_server import serving

ROOT = Path(__file__).resolve().parents[2]
UNITS = ROOT / "worker_image" / "units"
PEM = "-----BEGIN CERTIFICATE-----\n" + "QUJD" * 16 + "\nQUJD\n-----END CERTIFICATE-----\n"
AGENT = Identity(name="agent-1", manager_url="https://farm.example:8443", ca_pem=PEM, token="t0ken-_A.b")
BUNDLE = Bundle(url="https://farm.example:8443/bundle?signature=a%2Fb&x=1", sha256="0" * 64, pinned=True)
KEYS = {"write_files", "runcmd"}
"""All that is asked of cloud-init; its own schema takes any other key for a good one, and ignores it."""


def parsed(text: str) -> dict[str, Any]:
    assert text.startswith("#cloud-config\n")
    document = yaml.safe_load(text)
    assert set(document) == KEYS
    return document


def files(document: dict[str, Any]) -> dict[str, dict[str, str]]:
    return {entry["path"]: entry for entry in document["write_files"]}


def test_image_gets_identity_alone() -> None:
    document = parsed(user_data(AGENT, lifetime_s=7200, notice="aws"))
    written = files(document)
    assert set(written) == {"/etc/blendnet/agent.env", "/etc/blendnet/ca.crt", "/run/blendnet/token"}
    assert written["/run/blendnet/token"]["content"] == AGENT.token
    assert written["/run/blendnet/token"]["permissions"] == "0600"
    assert written["/etc/blendnet/ca.crt"]["content"] == PEM
    assert written["/etc/blendnet/agent.env"]["content"].splitlines() == [
        'BLENDNET_JOIN_URL="https://farm.example:8443"',
        'BLENDNET_JOIN_NAME="agent-1"',
        'BLENDNET_NOTICE="aws"',
        'BLENDNET_LIFETIME_S="7200"',
        'BLENDNET_SILENCE_S="900"',
    ]
    assert document["runcmd"][-1] == ["systemctl", "enable", "--now", bootstrap.WATCH_UNIT, bootstrap.AGENT_UNIT]


def test_units_that_are_started_exist_and_read_what_is_written() -> None:
    assert (UNITS / bootstrap.WATCH_UNIT).is_file()
    unit = (UNITS / bootstrap.AGENT_UNIT).read_text()
    assert f"EnvironmentFile={bootstrap.AGENT_FILE}\n" in unit
    command = "agent run --join ${BLENDNET_JOIN_URL} @/run/blendnet/token --ca /etc/blendnet/ca.crt --name ${BLENDNET"
    assert command in unit


def test_stock_machine_makes_itself_a_worker_and_ends_when_it_cannot() -> None:
    document = parsed(user_data(AGENT, lifetime_s=7200, bundle=replace(BUNDLE, gpu=True)))
    commands = document["runcmd"]
    assert commands[0] == ["systemctl", "enable", "--now", "blendnet-unborn.service"]
    assert ["python3", stock.FETCH_FILE] in commands
    assert commands[4][:2] == ["bash", "-c"]
    assert "install.sh --gpu || systemctl --no-block poweroff" in commands[4][2]
    assert commands[-1] == ["systemctl", "disable", "--now", "blendnet-unborn.service"]
    # A signed address is a secret for a while: not on a command line.
    assert BUNDLE.url not in json.dumps(commands)


def test_user_data_says_when_it_is_too_long() -> None:
    line = "QUJD" * 16 + "\n"
    long = PEM.replace("QUJD\n-----END", f"{line * 300}-----END")
    with pytest.raises(UserError, match="clouds take 16384"):
        user_data(replace(AGENT, ca_pem=long), lifetime_s=1)


def test_user_data_of_a_stock_machine_with_a_real_certificate_fits(tmp_path: Path) -> None:
    pem = ensure_server_certificate(tmp_path, ["farm.example"]).ca.read_text()
    text = user_data(replace(AGENT, ca_pem=pem, token="x" * 512), lifetime_s=86400, bundle=BUNDLE)
    assert len(text) < LIMIT_BYTES / 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "Agent"}, "no name for a machine"),
        ({"name": "a\nruncmd: [x]"}, "no name for a machine"),
        ({"name": "a" * 64}, "no name for a machine"),
        ({"manager_url": "http://farm.example"}, "the Manager's address"),
        ({"manager_url": "https://"}, "the Manager's address"),
        ({"manager_url": "https://:80"}, "names no host"),
        ({"manager_url": "https://farm:99999"}, "names no host"),
        ({"token": ""}, "no join token"),
        ({"token": "a b"}, "no join token"),
        ({"ca_pem": "no"}, "no certificate"),
        ({"ca_pem": PEM + "runcmd: [x]\n"}, "no certificate"),
    ],
)
def test_identity_that_cannot_be_right_is_refused(change: dict[str, str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        user_data(replace(AGENT, **change), lifetime_s=1)


def test_a_wrong_token_is_not_repeated_in_the_error() -> None:
    with pytest.raises(UserError) as caught:
        user_data(replace(AGENT, token="sec ret"), lifetime_s=1)
    assert "sec ret" not in str(caught.value)


@pytest.mark.parametrize("change", [{"url": "http://x.example/b"}, {"sha256": "00"}, {"url": 'https://x/"'}])
def test_bundle_that_cannot_be_right_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(UserError):
        user_data(AGENT, lifetime_s=1, bundle=replace(BUNDLE, **change))


@pytest.mark.parametrize("bad", [{"notice": "azur"}, {"lifetime_s": 0}, {"silence_s": -1}])
def test_what_no_machine_can_follow_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        user_data(AGENT, **{"lifetime_s": 1, **bad})


evil = st.text() | st.sampled_from(
    ["a: b", "- x", "\n#cloud-config", "'", '"', "\\", "{}", "!!python/object", "%YAML"]
    + ["\u2028", "$(reboot)", "`id`", "\ud800"]
)  # fmt: skip


@settings(deadline=None)
@given(name=evil, url=evil.map("https://x".__add__), token=evil, ca=evil.map(PEM.__add__), bundle=evil)
def test_nothing_breaks_out_of_user_data(name: str, url: str, token: str, ca: str, bundle: str) -> None:
    for change in ({"name": name}, {"manager_url": url}, {"token": token}, {"ca_pem": ca}):
        check_harmless(replace(AGENT, **change), BUNDLE)
    check_harmless(AGENT, replace(BUNDLE, url=f"https://x/{bundle}"))


def check_harmless(identity: Identity, bundle: Bundle) -> None:
    """Refused, or word by word what was given, with the same commands as for everybody."""
    try:
        text = user_data(identity, lifetime_s=1, bundle=bundle)
    except UserError:
        return
    document = parsed(text)
    assert files(document)["/run/blendnet/token"]["content"] == identity.token
    assert files(document)["/etc/blendnet/ca.crt"]["content"] == identity.ca_pem
    environment = files(document)["/etc/blendnet/agent.env"]["content"].splitlines()
    assert environment[:2] == [
        f'BLENDNET_JOIN_URL="{identity.manager_url}"',
        f'BLENDNET_JOIN_NAME="{identity.name}"',
    ]
    assert len(environment) == 5
    assert document["runcmd"] == parsed(user_data(AGENT, lifetime_s=1, bundle=BUNDLE))["runcmd"]
    values = files(document)[stock.FETCH_FILE]["content"].splitlines()[0]
    assert json.loads(values.partition(" = ")[2])[0] == bundle.url


@given(st.from_regex(NAME, fullmatch=True))
def test_every_good_name_arrives_as_it_is(name: str) -> None:
    text = user_data(replace(AGENT, name=name), lifetime_s=1)
    assert f'BLENDNET_JOIN_NAME="{name}"\n' in files(parsed(text))["/etc/blendnet/agent.env"]["content"]


# --- fetching the bundle ---------------------------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A TLS server of a farm's own authority that has a bundle; its address and that authority's certificate."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "bundle").write_bytes(b"a bundle")
    with serving(tmp_path / "www", tmp_path / "security") as server:
        yield f"{server.url}/bundle", server.ca


def fetch(url: str, sha256: str, target: Path, ca: str) -> subprocess.CompletedProcess[str]:
    """Run the script of the user data as a machine does, with its own paths and without its patience."""
    document = parsed(user_data(AGENT, lifetime_s=1, bundle=replace(BUNDLE, url=url, sha256=sha256)))
    script = files(document)[stock.FETCH_FILE]["content"]
    script = script.replace(stock.ARCHIVE, str(target)).replace(bootstrap.CA_FILE, ca)
    script = script.replace("(5, 10, 20, 40, 60, 60, 0)", "(0, 0)")
    return subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=False, timeout=60)


def test_bundle_is_fetched_from_the_manager_itself(served: tuple[str, Path], tmp_path: Path) -> None:
    url, ca = served
    done = fetch(url, hashlib.sha256(b"a bundle").hexdigest(), tmp_path / "got", str(ca))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "got").read_bytes() == b"a bundle"


def test_bundle_that_breaks_off_is_fetched_again(tmp_path: Path) -> None:
    (tmp_path / "bundle").write_bytes(b"a bundle")
    with serving(tmp_path, tmp_path / "security") as server:
        server.broken = 1
        sha256 = hashlib.sha256(b"a bundle").hexdigest()
        done = fetch(f"{server.url}/bundle", sha256, tmp_path / "got", str(server.ca))
    assert "cannot fetch the bundle: IncompleteRead(4 bytes read, 4 more expected)" in done.stdout
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "got").read_bytes() == b"a bundle"


def test_bundle_with_another_hash_is_refused(served: tuple[str, Path], tmp_path: Path) -> None:
    url, ca = served
    done = fetch(url, "1" * 64, tmp_path / "got", str(ca))
    assert "refused" in done.stderr
    assert done.returncode != 0
    assert not (tmp_path / "got").exists()


def test_bundle_of_somebody_else_is_not_fetched(served: tuple[str, Path], tmp_path: Path) -> None:
    url, _ = served
    other = ensure_server_certificate(tmp_path / "other").ca
    done = fetch(url, hashlib.sha256(b"a bundle").hexdigest(), tmp_path / "got", str(other))
    assert "CERTIFICATE_VERIFY_FAILED" in done.stdout
    assert done.returncode != 0


def test_bundle_is_not_fetched_from_another_address_than_the_certificate_names(
    served: tuple[str, Path], tmp_path: Path
) -> None:
    url, ca = served
    other = url.replace("127.0.0.1", "127.1")  # The same machine.
    done = fetch(other, hashlib.sha256(b"a bundle").hexdigest(), tmp_path / "got", str(ca))
    assert "certificate is not valid for '127.1'" in done.stdout
    assert done.returncode != 0
    assert not (tmp_path / "got").exists()
