"""AWS on this machine: moto's server behind a door that adds what moto lacks and misbehaves when told.

Added: client tokens of CreateFleet that are idempotent, capacity that runs out by type and zone, quotas, spot prices
and the price list, spot interruptions. Misbehaviour: calls that fail before or after they have done their work, slow
answers. `machines()` is the fake's own log of launches and ends: enough to compute a bill from.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from blendnet.security.ca import ensure_server_certificate
from tests.provision.aws_wire import JSON, XML, Call, answered, read_call
from tests.provision.moto_machines import OnDemandMachines

REGION = "eu-central-1"
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}

NOBODY = b"1000000000"
"""Calls that moto lets pass before it checks keys."""

StartResponse = Callable[..., Any]


@dataclass
class Fault:
    """How some calls go wrong."""

    matches: Callable[[Call], bool]
    code: str
    status: int = 400
    times: int = 1
    after: bool = False
    """The work is done, and the caller is told that it failed."""
    text: str = "told to fail"


@dataclass(frozen=True)
class Machine:
    """One machine in the fake's log."""

    id: str
    name: str
    """Name of its agent, '' when it is none's."""
    machine: str
    zone: str
    spot: bool
    launched_at: float
    ended_at: float | None
    interrupted: bool
    user_data: str
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)


class FakeAws(OnDemandMachines):
    """A WSGI application: the door before moto. Thread-safe enough for tests."""

    def __init__(self) -> None:
        self._ordering = threading.Lock()
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._checks_keys = False
        self._same: dict[bytes, tuple[str, Any, bytes]] = {}
        self.url = ""
        self.ca = ""
        """File with the authority of its certificate; '' without TLS."""
        self.forget()

    def forget(self) -> None:
        """Behave well from now on; what was made stays."""
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.slow: dict[str, float] = {}
        """Operation -> seconds that its answers take."""
        self.without_capacity: set[tuple[str, str, str]] = set()
        """(type, zone, 'spot' or 'on-demand') that are not to be had; '' stands for all."""
        self.fleet_error = ""
        """Code with which fleets refuse whatever has no capacity; '': none is left."""
        self.quotas: dict[str, float] = {}
        """Code of a quota -> its value; of others nothing is known."""
        self.spot_prices: dict[tuple[str, str], list[tuple[float, float]]] = {}
        """(type, zone) -> [(USD, since when)]; {}: moto's own, 0.00001 since 2006."""
        self.list_prices: dict[str, float] = {}
        self._tokens: dict[str, tuple[Any, list[Any]]] = {}

    # --- what tests tell it ------------------------------------------------------------------------------------------
    def fail(self, operation: str, code: str, **how: Any) -> None:
        """Let the next calls of an operation fail; `how`: fields of Fault."""
        self.faults.append(Fault(lambda call: call.operation == operation, code, **how))

    def fail_change(self, number: int, *, after: bool) -> None:
        """Let the call fail that is the `number`-th from now (0 is the next) to change something."""
        seen = iter(range(1 << 30))
        self.faults.append(
            Fault(lambda call: call.changes and next(seen) == number, "InternalError", status=500, after=after)
        )

    def no_capacity(self, machine: str = "", zone: str = "", *, market: str = "spot") -> None:
        """Have no machines of a type in a zone; '' stands for all."""
        self.without_capacity.add((machine, zone, market))

    def preempt(self, id_: str) -> None:
        """Take a spot machine back, as EC2 does when it wants it for itself."""
        backend, machine = self.find(id_)
        backend.terminate_instances([id_])
        machine._reason = f"Service initiated ({datetime.now(UTC):%Y-%m-%d %H:%M:%S} GMT)"
        code = "Server.SpotInstanceTermination"
        machine.state_reason.code = code
        machine.state_reason.message = f"{code}: Instance terminated by the Spot service (capacity-not-available)"

    def age(self, id_: str, seconds: float) -> None:
        """Have launched a machine so much earlier: longer than a test can wait."""
        self.find(id_)[1].launch_time -= timedelta(seconds=seconds)

    def enforce(self, on: bool) -> None:
        """Check keys and policies from now on, or no more."""
        self._checks_keys = on
        plain = {"Content-Type": "text/plain"}
        request = urllib.request.Request(f"{self.url}/moto-api/reset-auth", b"0" if on else NOBODY, plain)
        with urllib.request.urlopen(request) as answer:
            answer.read()

    # --- what tests ask it -------------------------------------------------------------------------------------------
    def machines(self, farm: str = "") -> list[Machine]:
        """Every machine that was ever launched, in this order; of one farm when it is named."""
        found = [_machine(instance) for _, instance in self.instances()]
        return [m for m in found if not farm or m.tags.get("blendnet-farm") == farm]

    def made(self, operation: str) -> list[Call]:
        """The calls of one operation, in order."""
        return [call for call in self.calls if call.operation == operation]

    # --- the door ----------------------------------------------------------------------------------------------------
    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = BytesIO(body)
        if environ["PATH_INFO"].startswith("/moto-api/"):
            return self._moto(environ, start_response)
        call = read_call(environ, body)
        self.calls.append(call)
        time.sleep(self.slow.get(call.operation, 0.0))
        fault = self._fault(call)
        if fault and not fault.after:
            return _error(call, fault.code, fault.status, fault.text, start_response)
        status, headers, content = self._answer(call, environ)
        if fault:
            return _error(call, fault.code, fault.status, f"{fault.text}, though it was done", start_response)
        start_response(status, headers)
        return [content]

    def _fault(self, call: Call) -> Fault | None:
        for fault in self.faults:
            if fault.times > 0 and fault.matches(call):
                fault.times -= 1
                return fault
        return None

    def _answer(self, call: Call, environ: dict[str, Any]) -> tuple[str, Any, bytes]:
        own = {
            "CreateFleet": self._fleet,
            "RunInstances": self._run,
            "StartInstances": self._start,
            "StopInstances": self._stop,
            "CreateVolume": self._volume,
            "AttachVolume": self._attach,
            "DescribeInstanceTypes": self._types,
            "DescribeSpotPriceHistory": self._history if self.spot_prices else None,
            "GetServiceQuota": self._quota,
            "GetAWSDefaultServiceQuota": self._quota,
            "GetProducts": self._products,
            "PUT ?policy": self._bucket_policy,
        }.get(call.operation)
        return own(call, environ) if own else self._pass(environ)

    def _pass(self, environ: dict[str, Any], body: bytes | None = None) -> tuple[str, Any, bytes]:
        """Let moto answer."""
        if body is not None:
            environ = {**environ, "wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        begun: list[Any] = []

        def start_response(status: str, headers: Any, *_: Any) -> None:
            begun[:] = [status, headers]

        answer = self._moto(environ, start_response)
        try:
            content = b"".join(answer)
        finally:
            if close := getattr(answer, "close", None):
                close()
        return begun[0], begun[1], content

    def _types(self, call: Call, environ: dict[str, Any]) -> tuple[str, Any, bytes]:
        """What moto says of types is always the same, and takes it a second to write down."""
        if self._checks_keys:
            return self._pass(environ)
        if call.body not in self._same:
            self._same[call.body] = self._pass(environ)
        return self._same[call.body]

    def _fleet(self, call: Call, environ: dict[str, Any]) -> tuple[str, Any, bytes]:
        with self._ordering:  # EC2 takes calls with one token one after the other.
            return self._ordered(call, environ)

    def _ordered(self, call: Call, environ: dict[str, Any]) -> tuple[str, Any, bytes]:
        token = call.parameters.get("ClientToken", "")
        if token in self._tokens:
            before, answer = self._tokens[token]
            if before != call.parameters:
                return answered(call, "IdempotentParameterMismatch", 400, "the token was used before")
            return tuple(answer)  # type: ignore[return-value]
        kept, lacking = self._split(call)
        if lacking and call.parameters.get("DryRun") != "true":
            status, headers, content = (
                self._pass(environ, urlencode(kept).encode()) if kept else ("200 OK", XML, _EMPTY_FLEET)
            )
            errors = f"<errorSet>{''.join(map(self._lack, lacking))}</errorSet>".encode()
            content = re.sub(rb"<errorSet\s*/>|<errorSet>.*?</errorSet>", b"", content, flags=re.S)
            content = content.replace(b"</CreateFleetResponse>", errors + b"</CreateFleetResponse>")
            headers = [(k, v) for k, v in headers if k.lower() != "content-length"]
            answer = [status, [*headers, ("Content-Length", str(len(content)))], content]
        else:
            answer = list(self._pass(environ))
        if token and answer[0].startswith("200"):
            self._tokens[token] = (call.parameters, answer)
        return tuple(answer)  # type: ignore[return-value]

    def _split(self, call: Call) -> tuple[dict[str, str], list[dict[str, str]]]:
        """The request with those places alone that have capacity ({} when none has), and the others."""
        market = call.parameters.get("TargetCapacitySpecification.DefaultTargetCapacityType", "on-demand")
        prefix = re.compile(r"LaunchTemplateConfigs\.1\.Overrides\.(\d+)\.(\w+)")
        places: dict[int, dict[str, str]] = {}
        rest: dict[str, str] = {}
        for key, value in call.parameters.items():
            if found := prefix.fullmatch(key):
                places.setdefault(int(found[1]), {})[found[2]] = value
            else:
                rest[key] = value
        kept = [place for _, place in sorted(places.items()) if self._has(place, market)]
        lacking = [{**place, "market": market} for _, place in sorted(places.items()) if place not in kept]
        for number, place in enumerate(kept, 1):
            rest |= {f"LaunchTemplateConfigs.1.Overrides.{number}.{key}": value for key, value in place.items()}
        return (rest if kept or not places else {}), lacking

    def _has(self, place: Mapping[str, str], market: str) -> bool:
        machine, zone = place.get("InstanceType", ""), self.zone_of(place.get("SubnetId", ""))
        return machine in INSTANCE_TYPES and not self.lacks(machine, zone, market)

    def _lack(self, place: Mapping[str, str]) -> str:
        code = self.fleet_error or "InsufficientInstanceCapacity"
        text = f"There is no {place['market']} capacity for {place.get('InstanceType')}"
        if place.get("InstanceType") not in INSTANCE_TYPES:
            code, text = "InvalidParameterValue", f"Invalid value '{place.get('InstanceType')}' for InstanceType"
        return (
            f"<item><errorCode>{code}</errorCode><errorMessage>{text}</errorMessage>"
            f"<lifecycle>{place['market']}</lifecycle><launchTemplateAndOverrides><overrides>"
            f"<instanceType>{place.get('InstanceType', '')}</instanceType>"
            f"<subnetId>{place.get('SubnetId', '')}</subnetId>"
            "</overrides></launchTemplateAndOverrides></item>"
        )

    def _history(self, call: Call, environ: dict[str, Any]) -> tuple[str, Any, bytes]:
        wanted = {value for key, value in call.parameters.items() if key.startswith("InstanceType.")}
        items = "".join(
            f"<item><instanceType>{machine}</instanceType><productDescription>Linux/UNIX</productDescription>"
            f"<spotPrice>{usd:.6f}</spotPrice><timestamp>{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%S}.000Z"
            f"</timestamp><availabilityZone>{zone}</availabilityZone></item>"
            for (machine, zone), history in self.spot_prices.items()
            if machine in wanted
            for usd, at in history
        )
        content = (
            "<DescribeSpotPriceHistoryResponse xmlns='http://ec2.amazonaws.com/doc/2016-11-15/'>"
            f"<spotPriceHistorySet>{items}</spotPriceHistorySet></DescribeSpotPriceHistoryResponse>"
        ).encode()
        return "200 OK", XML, content

    def _bucket_policy(self, call: Call, environ: dict[str, Any]) -> tuple[str, Any, bytes]:
        """moto takes every refusal for one without conditions: so that it refuses nothing, it gets another action."""
        return self._pass(environ, call.body.replace(b'"s3:*"', b'"s3:NothingThatMotoKnows"'))

    def _quota(self, call: Call, environ: dict[str, Any]) -> tuple[str, Any, bytes]:
        checked = self._pass(environ)  # moto knows none, but it checks the keys.
        code = json.loads(call.body)["QuotaCode"]
        if code not in self.quotas or b"NoSuchResource" not in checked[2]:
            return checked
        content = {"Quota": {"ServiceCode": "ec2", "QuotaCode": code, "Value": self.quotas[code]}}
        return "200 OK", JSON, json.dumps(content).encode()

    def _products(self, call: Call, environ: dict[str, Any]) -> tuple[str, Any, bytes]:
        """Of one type or of all, a hundred to a page."""
        asked = json.loads(call.body)
        wanted = {item["Field"]: item["Value"] for item in asked["Filters"]}.get("instanceType")
        machines = [machine for machine in self.list_prices if wanted in (None, machine)]
        end = int(asked.get("NextToken") or 0) + 100
        page = [json.dumps(_product(machine, self.list_prices[machine])) for machine in machines[end - 100 : end]]
        later = {"NextToken": str(end)} if machines[end:] else {}
        return "200 OK", JSON, json.dumps({"FormatVersion": "aws_v1", "PriceList": page, **later}).encode()


def _product(machine: str, usd: float) -> dict[str, Any]:
    terms = {"OnDemand": {"a": {"priceDimensions": {"b": {"unit": "Hrs", "pricePerUnit": {"USD": f"{usd:.10f}"}}}}}}
    return {"product": {"attributes": {"instanceType": machine}}, "terms": terms}


_EMPTY_FLEET = (
    b"<CreateFleetResponse xmlns='http://ec2.amazonaws.com/doc/2016-11-15/'><requestId>r</requestId>"
    b"<fleetId>fleet-0</fleetId><fleetInstanceSet/></CreateFleetResponse>"
)


def _error(call: Call, code: str, status: int, text: str, start_response: StartResponse) -> Iterable[bytes]:
    line, headers, content = answered(call, code, status, text)
    start_response(line, headers)
    return [content]


def _machine(instance: Any) -> Machine:
    tags = {tag["key"]: tag["value"] for tag in instance.get_tags()}
    ended = re.search(r"\((.*) (?:UTC|GMT)\)", instance._reason) if instance.state == "terminated" else None
    raw = str(instance.user_data or "")
    text = ""
    with contextlib.suppress(ValueError):  # moto keeps some of it decoded.
        text = base64.b64decode(raw, validate=True).decode()
    return Machine(
        id=instance.id,
        name=tags.get("blendnet-agent", ""),
        machine=instance.instance_type,
        zone=str(instance.availability_zone),
        spot=instance.lifecycle == "spot",
        launched_at=instance.launch_time.replace(microsecond=0, tzinfo=UTC).timestamp(),  # As EC2 tells it.
        ended_at=datetime.fromisoformat(f"{ended[1]}+00:00").timestamp() if ended else None,
        interrupted=(instance.state_reason.code or "").startswith("Server.Spot"),
        user_data=text or raw,
        tags=tags,
    )


class _Quiet(WSGIRequestHandler):
    def log(self, *_: Any) -> None:
        pass

    def make_environ(self) -> dict[str, Any]:
        return {**super().make_environ(), "RAW_URI": self.path}


@contextmanager
def running_aws(tls: Path | None = None) -> Iterator[FakeAws]:
    """A fake that answers on a free port until the block ends.

    `tls`: it speaks TLS with a certificate of its own in that folder, by an authority that `environment` names.
    """
    fake = FakeAws()
    pair = ensure_server_certificate(tls) if tls else None
    context = (str(pair.certificate), str(pair.key)) if pair else None
    server: BaseWSGIServer = make_server(
        "127.0.0.1", 0, fake, threaded=True, request_handler=_Quiet, ssl_context=context
    )
    fake.url = f"http{'s' if pair else ''}://127.0.0.1:{server.server_port}"
    fake.ca = str(pair.ca) if pair else ""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join(30)
        server.server_close()


def environment(fake: FakeAws) -> dict[str, str]:
    """Environment variables that send the SDK of any process to the fake."""
    trust = {"AWS_CA_BUNDLE": fake.ca, "SSL_CERT_FILE": fake.ca} if fake.ca else {}
    return {
        **KEYS,
        **trust,
        "AWS_ENDPOINT_URL": fake.url,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
    }
