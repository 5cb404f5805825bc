"""Machines that join a farm: what lets them in, what keeps them out, and how far each gets."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import redis

from blendnet.errors import (
    BlendNetError,
    Conflict,
    FarmError,
    ManagerUnreachable,
    NotFound,
    Revoked,
    TokenRefused,
    UserError,
)
from blendnet.manager.expiry import Expiry
from blendnet.manager.joining import LAST_MOMENT_S, Joining
from blendnet.messages import ClaimRequest
from blendnet.security import agents
from blendnet.security.broker_acl import MANAGER
from blendnet.security.ca import ensure_server_certificate
from blendnet.settings import BrokerLogin
from tests.manager.joined import OpenFarm, farm, one, open_farm, report, two
from tests.manager.served import wait_until
from tests.manager.test_api_jobs import submit

__all__ = ["farm", "one", "two"]

HOUR_S = 3600.0


def broker_login(farm: OpenFarm, name: str) -> BrokerLogin:
    folder = farm.folder(name)
    return BrokerLogin(name, folder.broker_password, name, folder.ca, folder.certificate, folder.key)


# --- tokens


def test_machine_that_joined_is_let_in_with_its_certificate(farm: OpenFarm, one: str) -> None:
    with farm.agent(one) as client:
        report(client, one)
    assert one in {agent.name for agent in farm.served.farm.agents()}


def test_machine_joins_by_fingerprint(farm: OpenFarm) -> None:
    colons = agents.fingerprint(farm.ca.read_bytes()).upper()
    farm.join("fingers", ca=None, ca_sha256=":".join(colons[i : i + 2] for i in range(0, 64, 2)))
    assert farm.folder("fingers").ca.read_bytes() == farm.ca.read_bytes()


def test_token_works_once(farm: OpenFarm) -> None:
    token = farm.token()
    farm.join("first", token)
    with pytest.raises(TokenRefused, match="used already, by agent first"):
        farm.join("second", token)


def test_token_that_many_use_at_once_works_once(farm: OpenFarm) -> None:
    token = farm.token()

    def join(number: int) -> bool:
        try:
            farm.join(f"racer-{number}", token)
        except TokenRefused:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(join, range(4))) == 1


def test_token_expires(farm: OpenFarm) -> None:
    token = farm.token(valid_s=60.0)
    farm.ahead_s = 61.0
    try:
        with pytest.raises(TokenRefused, match="has expired"):
            farm.join("late", token)
    finally:
        farm.ahead_s = 0.0


def test_unknown_token_is_refused(farm: OpenFarm) -> None:
    with pytest.raises(TokenRefused, match="knows no such"):
        farm.join("stranger", "blendnet-guessed")


def test_token_for_a_name_is_for_no_other(farm: OpenFarm) -> None:
    token = farm.token(name="render-7")
    with pytest.raises(TokenRefused, match="for an agent named render-7"):
        farm.join("render-8", token)
    assert farm.join("", token, folder="render-7").member.name == "render-7"


def test_ledger_holds_no_token_and_no_password(farm: OpenFarm, one: str) -> None:
    token = farm.token()
    password = farm.folder(one).broker_password.read_text().strip()
    with farm.served.farm.ledger.read() as tx:
        [member] = [member for member in tx.members.all() if member.name == one]
        assert tx.join_tokens.get(token) is None
    assert password not in str(member)
    for file in farm.served.farm.settings.data.glob("ledger.db*"):
        assert token.encode() not in file.read_bytes()
        assert password.encode() not in file.read_bytes()


def test_name_that_is_taken_is_refused_and_the_token_stays_good(farm: OpenFarm, one: str) -> None:
    token = farm.token()
    with pytest.raises(Conflict, match="an agent named one has joined already"):
        farm.join(one, token, folder="another")
    farm.join("other", token)


@pytest.mark.parametrize("name", [MANAGER, "agent", "default", "Owner", "a b", "a*"])
def test_name_that_means_something_is_refused(farm: OpenFarm, name: str) -> None:
    with pytest.raises(UserError):
        farm.join(name, folder="reserved")


def test_wrong_ca_is_told_and_the_token_is_not(farm: OpenFarm, tmp_path: Path) -> None:
    token = farm.token()
    with pytest.raises(FarmError, match=r"not the farm whose CA you gave.*token was not sent"):
        farm.join("careful", token, ca=ensure_server_certificate(tmp_path).ca)
    with pytest.raises(FarmError, match="not the farm that the fingerprint is of"):
        farm.join("careful", token, ca=None, ca_sha256="0" * 64)
    farm.join("careful", token)


def test_wrong_host_name_is_told(farm: OpenFarm) -> None:
    port = httpx.URL(farm.url).port
    other = "127.0.0.2"  # Not one of the names in the certificate; nobody listens there either way.
    with socket.create_server((other, 0)) as listener:
        thread = threading.Thread(target=forward, args=(listener, port))
        thread.start()
        with pytest.raises(FarmError, match=r"is not for 127\.0\.0\.2"):
            farm.join("lost", url=f"https://{other}:{listener.getsockname()[1]}")
        thread.join()


def forward(listener: socket.socket, port: int | None) -> None:
    """Pass one connection on to the farm, as somebody in between would."""
    near, _ = listener.accept()
    with near, socket.create_connection(("127.0.0.1", port)) as far:
        back = threading.Thread(target=pump, args=(far, near))
        back.start()
        pump(near, far)
        back.join()


def pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


def test_farm_has_to_be_known_to_be_joined(farm: OpenFarm) -> None:
    with pytest.raises(UserError, match="--ca FILE"):
        farm.join("naive", ca=None)


# --- certificates


def test_certificate_is_renewed_and_programs_take_it_up(farm: OpenFarm, one: str) -> None:
    before = farm.folder(one).certificate.read_bytes()
    with farm.agent(one) as client:
        report(client, one)
        assert farm.join(one, "unused").member.name == one  # Started again: no token is needed.
        assert farm.folder(one).certificate.read_bytes() != before
        report(client, one)


def test_expired_certificate_is_refused_on_open_connections_too(farm: OpenFarm) -> None:
    farm.join("short")
    with farm.agent("short") as client:
        report(client, "short")
        farm.ahead_s = 25 * HOUR_S
        try:
            with pytest.raises(Revoked, match="has expired"):
                report(client, "short")
        finally:
            farm.ahead_s = 0.0


def past_certificate(farm: OpenFarm, name: str) -> None:
    """Let a machine's certificate have ended an hour ago."""
    folder = farm.folder(name)
    request = agents.read_request(agents.make_request(folder.key.read_bytes(), name))
    then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=2)
    signed = agents.sign(farm.redis.folder.security, request, name, lifetime_s=HOUR_S, now=then)
    folder.certificate.write_text(signed)


def test_expired_certificate_gets_no_connection(farm: OpenFarm) -> None:
    farm.join("past")
    past_certificate(farm, "past")
    with farm.agent("past") as client, pytest.raises(ManagerUnreachable):
        report(client, "past")
    with farm.redis.client(broker_login(farm, "past")) as client, pytest.raises(redis.ConnectionError):
        client.ping()
    with pytest.raises(TokenRefused):  # It tries to join anew.
        farm.join("past", "unused")


def test_expired_certificate_ends_open_connections_to_redis_too(tmp_path: Path) -> None:
    with open_farm(tmp_path) as farm:
        farm.join("stale")
        with farm.redis.client(broker_login(farm, "stale")) as broker:
            assert broker.ping()
            end = agents.read_identity(farm.folder("stale").certificate)
            assert end
            farm.joining.cut_expired(end.expires_at + 1)  # One who renews in the last moment is left in.
            assert broker.ping()
            farm.joining.cut_expired(end.expires_at + LAST_MOMENT_S + 1)
            with pytest.raises((redis.ConnectionError, redis.AuthenticationError)):
                broker.ping()
        assert "user stale " not in (farm.redis.folder.security / "redis.acl").read_text()
        farm.join("stale", farm.token(name="stale"), folder="anew")
        login = broker_login(farm, "anew")
        with farm.redis.client(replace(login, user="stale", agent="stale")) as broker:
            farm.joining.cut_expired(end.expires_at - 1)
            assert broker.ping()


def test_agents_whose_certificates_have_ended_are_looked_for_by_itself(tmp_path: Path) -> None:
    with open_farm(tmp_path, agent_certificate_s=4.0) as farm:
        farm.join("short")
        watch = Expiry(farm.joining, lifetime_s=4.0)
        with farm.redis.client(broker_login(farm, "short")) as broker:
            assert broker.ping()
            watch.start()
            try:
                wait_until(lambda: not farm.redis.users.knows("short"), 60.0)
            finally:
                watch.stop()
            with pytest.raises((redis.ConnectionError, redis.AuthenticationError)):
                broker.ping()


def test_certificate_of_another_authority_gets_no_connection(farm: OpenFarm, tmp_path: Path) -> None:
    farm.join("mine")
    folder = farm.folder("mine")
    ensure_server_certificate(tmp_path)
    request = agents.read_request(agents.make_request(folder.key.read_bytes(), "mine"))
    now = datetime.datetime.now(datetime.UTC)
    folder.certificate.write_text(agents.sign(tmp_path, request, "mine", lifetime_s=HOUR_S, now=now))
    with farm.agent("mine") as client, pytest.raises(ManagerUnreachable):
        report(client, "mine")
    with farm.redis.client(broker_login(farm, "mine")) as client, pytest.raises(redis.ConnectionError):
        client.ping()


def test_redis_wants_a_certificate_besides_the_password(farm: OpenFarm, one: str) -> None:
    login = broker_login(farm, one)
    with farm.redis.client(login) as client:
        assert client.ping()
    bare = BrokerLogin(one, login.password_file, one, login.ca)
    with farm.redis.client(bare) as client, pytest.raises(redis.ConnectionError):
        client.ping()


def test_servers_certificate_lets_nobody_in_as_a_client(farm: OpenFarm) -> None:
    context = ssl.create_default_context(cafile=str(farm.ca))
    context.load_cert_chain(farm.served.certificate.certificate, farm.served.certificate.key)
    with httpx.Client(base_url=farm.url, verify=context, trust_env=False) as client:
        with pytest.raises(httpx.TransportError):
            client.get("/v1/farm")


def test_agent_cannot_serve_with_its_certificate(farm: OpenFarm, one: str) -> None:
    folder = farm.folder(one)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder.certificate, folder.key)
    client = ssl.create_default_context(cafile=str(farm.ca))
    client.check_hostname = False  # The purpose of the certificate alone is enough to refuse it.
    with pytest.raises(ssl.SSLCertVerificationError, match=r"unsupported|purpose"):
        handshake(client, server)


def handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    """TLS between two contexts in memory; raises what the client raises."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    near, far = client.wrap_bio(down, up), server.wrap_bio(up, down, server_side=True)
    for _ in range(10):
        for side in (near, far):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue


def test_identity_cannot_be_claimed_in_a_header(farm: OpenFarm, one: str) -> None:
    context = ssl.create_default_context(cafile=str(farm.ca))
    named = dict.fromkeys(("X-Client-Cert", "X-SSL-Client-S-DN", "X-Forwarded-Client-Cert", "Identity"), f"CN={one}")
    with httpx.Client(base_url=farm.url, verify=context, trust_env=False, headers=named) as client:
        assert client.post(f"/v1/agents/{one}/report", json={"pid": 1}).status_code == 401


# --- revocation


def test_revoked_agent_is_shut_out_at_once_and_for_good(farm: OpenFarm, tmp_path: Path) -> None:
    farm.join("bad")
    with farm.owner() as owner, farm.agent("bad") as client, farm.redis.client(broker_login(farm, "bad")) as broker:
        job = submit(owner, tmp_path, frames=[1])
        chunk = owner.chunks(job.id, frame=1)[0].id
        client.claim(chunk, ClaimRequest(agent="bad"))
        assert broker.ping()
        owner.revoke_agent("bad")
        with pytest.raises(Revoked):
            report(client, "bad")
        with pytest.raises((redis.ConnectionError, redis.AuthenticationError)):
            broker.ping()
        assert owner.chunks(job.id, frame=1)[0].agent is None or owner.job(job.id).agents == 0
        owner.cancel(job.id)
    again = Joining(
        farm.served.farm,
        farm.redis.users,
        security=farm.redis.folder.security,
        url=farm.url,
        local_agents=list,
    )
    again.start()
    identity = agents.read_identity(farm.folder("bad").certificate)
    assert identity
    with pytest.raises(Revoked):
        again.admit(identity, 0.0)
    with farm.redis.client(broker_login(farm, "bad")) as broker, pytest.raises(redis.AuthenticationError):
        broker.ping()
    assert "user bad " not in (farm.redis.folder.security / "redis.acl").read_text()


def test_revoked_machine_comes_back_with_a_new_token(farm: OpenFarm) -> None:
    farm.join("forgiven")
    with farm.owner() as owner:
        owner.revoke_agent("forgiven")
    with pytest.raises(TokenRefused):
        farm.join("forgiven", "unused")
    farm.join("forgiven")
    with farm.agent("forgiven") as client:
        report(client, "forgiven")


def test_agent_that_never_joined_cannot_be_revoked(farm: OpenFarm) -> None:
    with farm.owner() as owner, pytest.raises(NotFound, match="no agent nobody has joined"):
        owner.revoke_agent("nobody")


def test_certificate_is_renewed_for_its_own_key_alone(farm: OpenFarm, one: str) -> None:
    with farm.agent(one) as client:
        body = {"request": agents.make_request(agents.make_key(), one)}
        with pytest.raises(UserError, match="another key"):
            client._http.post(dict, f"/v1/agents/{one}/certificate", body)
        with pytest.raises(BlendNetError):
            client._http.post(dict, "/v1/agents/two/certificate", body)
