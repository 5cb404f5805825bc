"""User data of the Manager's machine: what they hold, what they never hold, and what they do on a machine."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from blendnet.errors import UserError
from blendnet.provision import bootstrap_manager, cloud_init, stock
from blendnet.provision.bootstrap_manager import MANAGER_FILE, Site, manager_user_data
from blendnet.provision.cloud_init import startup_script
from blendnet.provision.registry import read_options
from blendnet.provision.stock import Bundle
from blendnet.security.credentials import hash_password, make_password
from blendnet.settings import Settings
from tests.agent.metadata_fakes import metadata_service
from tests.provision.bundle_server import serving

ROOT = Path(__file__).resolve().parents[2]
UNITS = ROOT / "worker_image" / "units"
HASH = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$Ce4WtCQzaRkUb1lBH7wKQQ"
FARM = "blendnet-0a1b2c3d"
BUNDLE = Bundle(url="https://bucket.example/bundle?X-Signature=a%2Fb", sha256="0" * 64)
SITE = Site(
    cloud="aws",
    region="eu-central-1",
    bucket="s3://blendnet-farm-1234",
    disk="/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol*",
    machine="t3.small",
    options={"disk_gb": "40", "subnets": "a,b"},
    environment={"AWS_REGION": "eu-central-1"},
)


def made(site: Site = SITE, bundle: Bundle = BUNDLE, **chosen: str) -> str:
    return manager_user_data(site, farm=FARM, owner_hash=HASH, bundle=bundle, settings=chosen)


def parsed(text: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(text)
    assert set(document) == {"write_files", "runcmd"}
    return document


def variables(text: str) -> dict[str, str]:
    [file] = [entry for entry in parsed(text)["write_files"] if entry["path"] == MANAGER_FILE]
    assert file["permissions"] == "0600"
    pairs = (re.fullmatch(r'([A-Z_0-9]+)="(.*)"', line) for line in file["content"].splitlines())
    return {pair[1]: pair[2] for pair in pairs if pair}


def settings_of(values: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return Settings()


def test_manager_reads_what_was_written_as_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    text = made(BLENDNET_CAP_DAY_USD="12.5", BLENDNET_MANAGER_IDLE_S="1800", BLENDNET_FLEET_MAX="3")
    read = settings_of(variables(text), monkeypatch)
    assert (read.listen, read.api_port, read.broker_port) == ("0.0.0.0", 443, 6380)
    assert (read.fleet_provider, read.cloud_region, read.manager_cloud) == ("aws", "eu-central-1", "aws")
    assert read_options(read.cloud_options) == SITE.options
    assert (read.store_url, read.manager_bucket) == ("s3://blendnet-farm-1234/store", "s3://blendnet-farm-1234")
    assert (read.cap_day_usd, read.manager_idle_s, read.fleet_max) == (12.5, 1800.0, 3)
    assert (read.owner_hash, read.farm_label) == (HASH, FARM)
    assert str(read.worker_bundle) == stock.ARCHIVE


def test_every_variable_of_ours_is_a_setting() -> None:
    names = {name.removeprefix("BLENDNET_").lower() for name in variables(made()) if name.startswith("BLENDNET_")}
    assert names <= set(Settings.model_fields)


def test_units_read_what_is_written_and_start_what_is_named() -> None:
    manager, data = ((UNITS / name).read_text() for name in (bootstrap_manager.MANAGER_UNIT, "blendnet-data.service"))
    for unit in (manager, data):
        assert f"EnvironmentFile={MANAGER_FILE}\n" in unit
        assert f"ConditionPathExists={MANAGER_FILE}\n" in unit
    assert f"${{{bootstrap_manager.DATA_DISK}}}" in data
    files = {file["path"]: file["content"] for file in parsed(made())["write_files"]}
    assert parsed(made())["runcmd"][-1] == ["systemctl", "enable", "--now", "--no-block", stock.BECOME_UNIT]
    assert f"ExecStart=/bin/bash {stock.BECOME_FILE}\n" in files[f"/etc/systemd/system/{stock.BECOME_UNIT}"]
    steps = [line for line in files[stock.BECOME_FILE].splitlines() if line.startswith("step '")]
    assert [step.rpartition("' ")[2] for step in steps][2:4] == [
        f"bash {stock.INSTALL} --manager",
        f"systemctl enable --now {bootstrap_manager.MANAGER_UNIT}",
    ]


def test_no_password_is_in_user_data_and_no_signed_address_on_a_command_line() -> None:
    password = make_password()
    text = manager_user_data(SITE, farm=FARM, owner_hash=hash_password(password), bundle=BUNDLE)
    assert password not in text
    assert BUNDLE.url not in json.dumps(parsed(text)["runcmd"])


def test_user_data_with_much_to_say_fit() -> None:
    text = made(replace(SITE, options={f"o{n}": "x" * 60 for n in range(20)}), BLENDNET_FLEET_MACHINES="m" * 500)
    assert len(text) < cloud_init.LIMIT_BYTES / 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cloud": "A W S"}, "no name of a provider"),
        ({"bucket": "bucket"}, "no bucket"),
        ({"bucket": 's3://x"\n'}, "no bucket"),
        ({"disk": "/dev/sdb; reboot"}, "no device"),
        ({"disk": "/etc/passwd"}, "no device"),
        ({"broker_port": 443}, "none that Redis can have"),
        ({"broker_port": 0}, "none that Redis can have"),
        ({"region": 'x"y'}, "cannot stand in a file"),
        ({"options": {"a": "b; c=d"}}, "cannot be given"),
        ({"options": {"a": "b\nc"}}, "cannot stand in a file"),
        ({"environment": {"PATH=x": "y"}}, "no name of a variable"),
    ],
)
def test_a_site_that_cannot_be_right_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        made(replace(SITE, **change))


@pytest.mark.parametrize("name", ["BLENDNET_LISTEN", "BLENDNET_OWNER_HASH", "BLENDNET_DATA", "LD_PRELOAD", "PATH"])
def test_what_the_user_may_not_choose_is_refused(name: str) -> None:
    with pytest.raises(UserError):
        made(**{name: "x"})


@pytest.mark.parametrize("secret", ["secret", "$argon2id$", 'x"y', "$argon2id$v=19\nBLENDNET_DATA=/"])
def test_what_is_no_hash_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(UserError) as caught:
        manager_user_data(SITE, farm=FARM, owner_hash=secret, bundle=BUNDLE)
    assert secret not in str(caught.value)


@settings(deadline=None)
@given(st.text() | st.sampled_from(['"', "\\", "\n", "$(reboot)", "${X}", "\u2028", "\ud800", "a=b"]))
def test_no_value_breaks_out_of_the_variables(text: str) -> None:
    try:
        found = variables(made(BLENDNET_FLEET_MACHINES=text))
    except UserError:
        return
    assert found["BLENDNET_FLEET_MACHINES"] == text
    assert len(found) == len(variables(made())) + 1


# --- on a machine ----------------------------------------------------------------------------------------------------


class Machine:
    """A folder as a machine's root: what the user data say is done there, with systemd's programs noted down."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.said = root / "said"
        (root / "bin").mkdir(parents=True)
        for name in ("systemctl", "systemd-run"):
            program = root / "bin" / name
            program.write_text(f'#!/bin/sh\necho {name} "$@" >>{self.said}\n')
            program.chmod(0o755)

    def boot(self, user_data: str, ca: Path) -> subprocess.CompletedProcess[str]:
        document = json.loads(user_data.removeprefix(cloud_init.HEADER))
        moved = re.sub(
            r"(/etc/blendnet|/etc/systemd|/var/lib/blendnet|/run/blendnet)", rf"{self.root}\1", json.dumps(document)
        )
        script = startup_script(moved.replace("(5, 10, 20, 40, 60, 60, 0)", "(0,)"))
        script = script.replace(cloud_init.DONE_FILE, f"{self.root}/done")
        path = f"{self.root}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = self._run(["bash"], {"PATH": path, "SSL_CERT_FILE": str(ca)}, input=script)
        enabled = [line.split()[1] for line in self.told() if stock.BECOME_UNIT in line]
        if enabled[-1] == "enable":  # As systemd does at each boot.
            become = f"{self.root}{stock.BECOME_FILE}"
            return self._run(["bash", become], {"PATH": path, "SSL_CERT_FILE": str(ca)}, input="")
        return done

    def _run(self, command: list[str], environment: dict[str, str], *, input: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, input=input, env=environment, capture_output=True, text=True, check=False, timeout=60
        )

    def told(self) -> list[str]:
        return self.said.read_text().splitlines()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A bundle whose install.sh writes down how it was called; it fails when told to."""
    folder = tmp_path / "content" / "worker_image"
    folder.mkdir(parents=True)
    script = folder / "install.sh"
    script.write_text(
        '#!/bin/sh\nroot=$(dirname "$0")/../../../..\n[ ! -e "$root/no-mirror" ] || exit "$(cat "$root/no-mirror")"\n'
        'echo installed "$@" >>"$root/said"\n'
    )
    script.chmod(0o755)
    path = tmp_path / "www" / "bundle.tar.gz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder, "worker_image")
    return path


def test_machine_fetches_proves_installs_and_starts_the_manager_once(tmp_path: Path, archive: Path) -> None:
    machine = Machine(tmp_path / "machine")
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    with serving(archive.parent, tmp_path / "security") as server:
        text = made(bundle=Bundle(url=f"{server.url}/bundle.tar.gz?signature=s", sha256=sha256))
        for _ in range(2):
            done = machine.boot(text, server.ca)
            assert done.returncode == 0, done.stderr
    unborn, become, installed, started, born, done_with = machine.told()
    assert unborn == "systemctl enable --now blendnet-unborn.service"
    assert become == "systemctl enable --now --no-block blendnet-become.service"
    assert done_with == "systemctl disable blendnet-become.service"
    assert (machine.root / "etc/systemd/system/blendnet-unborn.service").read_text() == stock.UNBORN
    assert installed == "installed --manager"
    assert started == "systemctl enable --now blendnet-manager.service"
    assert born == "systemctl disable --now blendnet-unborn.service"
    environment = machine.root / "etc/blendnet/manager.env"
    assert environment.stat().st_mode & 0o777 == 0o600
    assert f'BLENDNET_OWNER_HASH="{HASH}"\n' in environment.read_text()
    assert (machine.root / "var/lib/blendnet-bundle/bundle.tar.gz").read_bytes() == archive.read_bytes()
    assert server.logins == [""]


@pytest.mark.parametrize("lives", [True, False], ids=["lives", "never came to be"])
def test_machine_that_never_came_to_be_ends_at_every_boot(tmp_path: Path, lives: bool) -> None:
    machine = Machine(tmp_path)
    for name, does in (("sleep", ""), ("systemctl", f'[ "$1" != is-active ] || exit {0 if lives else 3}')):
        (tmp_path / "bin" / name).write_text(f'#!/bin/sh\necho {name} "$@" >>{machine.said}\n{does}\n')
        (tmp_path / "bin" / name).chmod(0o755)
    [command] = re.findall(r"^ExecStart=(.*)$", stock.UNBORN, re.MULTILINE)
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    subprocess.run(shlex.split(command), env={"PATH": path}, check=False, timeout=20)
    waited, asked, *ended = machine.told()
    assert waited == f"sleep {stock.UNBORN_S}"
    assert set(asked.split()[3:]) == {"blendnet-manager", "blendnet-agent"}
    assert ended == ([] if lives else ["systemctl poweroff"])
    assert "WantedBy=multi-user.target\n" in stock.UNBORN


def test_machine_that_gets_another_bundle_powers_itself_off(tmp_path: Path, archive: Path) -> None:
    machine = Machine(tmp_path / "machine")
    with serving(archive.parent, tmp_path / "security") as server:
        done = machine.boot(made(bundle=Bundle(url=f"{server.url}/bundle.tar.gz", sha256="1" * 64)), server.ca)
    assert "refused" in done.stderr
    assert not any("installed" in line for line in machine.told())
    assert "systemctl --no-block poweroff" in machine.told()


@pytest.mark.parametrize(("broken", "status"), [("network", 1), ("packages", 1), ("packages", stock.REFUSED)])
def test_a_first_boot_that_failed_is_gone_on_with_at_the_next(
    tmp_path: Path, archive: Path, broken: str, status: int
) -> None:
    machine = Machine(tmp_path / "machine")
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    with serving(archive.parent, tmp_path / "security") as server:
        text = made(bundle=Bundle(url=f"{server.url}/bundle.tar.gz", sha256=sha256))
        aside = archive.rename(archive.with_suffix(".aside")) if broken == "network" else None
        if broken == "packages":
            (machine.root / "no-mirror").write_text(str(status))
        failed = machine.boot(text, server.ca)
        assert failed.returncode != 0
        what = "fetch the bundle" if broken == "network" else "install it"
        assert f"blendnet: NOT ready: cannot {what} (status {status}). It is tried again in 60 s" in failed.stdout
        assert "systemctl enable --now blendnet-manager.service" not in machine.told()
        assert not any("poweroff" in line for line in machine.told()), "the unborn unit's business"
        if aside:
            aside.rename(archive)
        (machine.root / "no-mirror").unlink(missing_ok=True)
        done = machine.boot(text, server.ca)
        assert done.returncode == 0, done.stderr
        assert len(server.logins) == (2 if broken == "network" else 1), "what is there is not fetched again"
    assert machine.told()[-3:] == [
        "systemctl enable --now blendnet-manager.service",
        "systemctl disable --now blendnet-unborn.service",
        "systemctl disable blendnet-become.service",
    ]


def test_systemd_tries_again_until_it_is_done() -> None:
    assert {"Restart=on-failure", f"RestartSec={stock.AGAIN_S}", "WantedBy=multi-user.target"} <= {
        *stock.BECOME.splitlines()
    }


def test_an_expired_address_of_s3_is_asked_for_as_the_machines_role(tmp_path: Path, archive: Path) -> None:
    machine = Machine(tmp_path / "machine")
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    with serving(archive.parent, tmp_path / "security") as server, metadata_service() as metadata:
        server.expired = "X-Amz-Expires"
        metadata.role = {"AccessKeyId": "AKIAEXAMPLE", "SecretAccessKey": "s3cr3t", "Token": "a session"}
        bundle = Bundle(
            url=f"{server.url}/bundle.tar.gz?X-Amz-Expires=3600",
            sha256=sha256,
            role_url=f"{metadata.url}/latest",
            region="eu-central-1",
        )
        text = made(bundle=bundle)
        done = machine.boot(text.replace("(5, 10, 20, 40, 60, 60, 0)", "(0, 0)"), server.ca)
    assert done.returncode == 0, done.stdout + done.stderr
    [_, headers] = server.headers
    request = AWSRequest("GET", f"{server.url}/bundle.tar.gz")
    request.context["timestamp"] = headers["x-amz-date"]
    for name in ("x-amz-date", "x-amz-content-sha256", "x-amz-security-token"):
        request.headers[name] = headers[name]
    keys = Credentials("AKIAEXAMPLE", "s3cr3t", "a session")
    signer = SigV4Auth(keys, "s3", "eu-central-1")
    plain = signer.string_to_sign(request, signer.canonical_request(request))
    assert headers["authorization"].rpartition("Signature=")[2] == signer.signature(plain, request)


def test_machine_shows_its_own_identity_where_nobody_can_sign(tmp_path: Path, archive: Path) -> None:
    machine = Machine(tmp_path / "machine")
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    with serving(archive.parent, tmp_path / "security") as server, metadata_service() as metadata:
        metadata.body = json.dumps({"access_token": "ya29.token", "expires_in": 3599})
        token = f"{metadata.url}/computeMetadata/v1/instance/service-accounts/default/preempted"
        bundle = Bundle(url=f"{server.url}/bundle.tar.gz", sha256=sha256, token_url=token)
        done = machine.boot(made(bundle=bundle), server.ca)
    assert done.returncode == 0, done.stderr
    assert "installed --manager" in machine.told()
    assert server.logins == ["Bearer ya29.token"]
