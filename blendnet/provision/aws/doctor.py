"""What `blendnet cloud doctor` looks at on AWS. Every check stands alone: one that fails hides no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from functools import partial

from blendnet.errors import BlendNetError, FarmError
from blendnet.provision.aws import labels, quotas, trouble
from blendnet.provision.aws.clients import Clients
from blendnet.provision.aws.labels import Labels
from blendnet.provision.aws.manager_requests import VCPUS
from blendnet.provision.aws.network import Network
from blendnet.provision.aws.options import Options, split
from blendnet.provision.aws.prices import Prices
from blendnet.provision.aws.template import Template
from blendnet.provision.aws.trouble import explained
from blendnet.provision.base import Check, CheckState, Offer, Quota

OK, WARNING, PROBLEM = CheckState.OK, CheckState.WARNING, CheckState.PROBLEM

CLOCK_WARNING_S = 60.0
CLOCK_PROBLEM_S = 300.0
"""AWS refuses requests whose time is five minutes off (S3: fifteen)."""
USUAL_MACHINE = "c7i.4xlarge"
"""What is looked at when the options name no machines."""
CLOCK_HELP = "sudo timedatectl set-ntp true"
CREDENTIALS_HELP = "aws configure    (or: aws sso login; then aws sts get-caller-identity)"
POLICY_HELP = "https://console.aws.amazon.com/iam/home#/policies    (what to put in: docs/clouds.md, Permissions)"


class Doctor:
    """Examines one farm's place."""

    def __init__(
        self,
        clients: Clients,
        own: Labels,
        network: Network,
        template: Template,
        prices: Prices,
        options: Options,
        clock: Callable[[], float],
        *,
        rehearsals: Callable[[], Mapping[str, Callable[[], object]]],
    ) -> None:
        """`rehearsals`: more calls that change something, by the action that permits them."""
        self._clients = clients
        self._own = own
        self._network = network
        self._template = template
        self._prices = prices
        self._machines = split(options.machines) or [USUAL_MACHINE]
        self._clock = clock
        self._rehearsals = rehearsals

    def examine(self) -> list[Check]:
        """All checks. Creates nothing and never raises."""
        found = [self._guard("reachability", self._reachability, "curl -sI https://sts.amazonaws.com")]
        found.append(self._guard("credentials", self._credentials, CREDENTIALS_HELP))
        clock = self._guard("clock", self._clock_skew, CLOCK_HELP, bad=WARNING)
        if found[-1].state is PROBLEM:
            # Everything else fails for that one reason, which may be the clock.
            return [*found, clock] if clock.state is PROBLEM else found
        found.append(clock)
        found.append(self._guard("network", self._subnets, "aws ec2 create-default-vpc"))
        found.append(self._guard("image", self._image, "aws ec2 describe-images --owners self"))
        found.append(self._guard("set-up", self._set_up, "blendnet cloud prepare"))
        found += [self._guard(f"permission: {what}", check, POLICY_HELP) for what, check in self._permissions()]
        found += self._quotas()
        found.append(self._guard("machine types", self._offerings, "aws ec2 describe-instance-type-offerings"))
        found.append(self._guard("spot prices", lambda: self._price(spot=True), POLICY_HELP, bad=WARNING))
        found.append(self._guard("list prices", lambda: self._price(spot=False), POLICY_HELP, bad=WARNING))
        return found

    def _guard(self, name: str, check: Callable[[], Check], help_: str, bad: CheckState = PROBLEM) -> Check:
        try:
            return check()
        except BlendNetError as error:
            return Check(name, bad, str(error), help_)
        except Exception as error:  # noqa: BLE001  # A doctor that dies of an illness helps nobody.
            return Check(name, bad, f"{type(error).__name__}: {error}", help_)

    def _reachability(self) -> Check:
        """Any answer will do, a refusal too."""
        from botocore.exceptions import ClientError, NoCredentialsError

        ec2 = self._clients["ec2"]
        began = self._clock()
        try:
            with explained(f"reach {ec2.meta.endpoint_url}"):
                ec2.describe_regions(RegionNames=[self._own.region])
        except FarmError as error:
            if not isinstance(error.__cause__, ClientError | NoCredentialsError):
                raise
        took_ms = max(0.0, self._clock() - began) * 1000
        return Check("reachability", OK, f"{ec2.meta.endpoint_url} answers in {took_ms:.0f} ms")

    def _credentials(self) -> Check:
        with explained("ask who this is"):
            answer = self._clients["sts"].get_caller_identity()
        return Check("credentials", OK, f"{answer['Arn']}, region {self._own.region}")

    def _clock_skew(self) -> Check:
        """By the answer's own date: AWS tells it also when it refuses."""
        from botocore.exceptions import ClientError

        try:
            with explained("ask for the time"):
                answer = self._clients["sts"].get_caller_identity()
        except FarmError as error:
            if not isinstance(error.__cause__, ClientError):
                raise
            answer = error.__cause__.response
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        if not date:
            return Check("clock", WARNING, "AWS did not say what time it is", "timedatectl status")
        skew_s = abs(self._clock() - parsedate_to_datetime(date).timestamp())
        state = PROBLEM if skew_s >= CLOCK_PROBLEM_S else WARNING if skew_s >= CLOCK_WARNING_S else OK
        help_ = "" if state is OK else CLOCK_HELP
        return Check("clock", state, f"differs from AWS' by {skew_s:.0f} s", help_)

    def _subnets(self) -> Check:
        found = self._network.subnets()
        return Check("network", OK, f"subnets in {labels.named(sorted(found))}")

    def _image(self) -> Check:
        image = self._template.image()
        return Check("image", OK, f"{image['ImageId']} {image.get('Name', '')}".strip())

    def _set_up(self) -> Check:
        try:
            self._template.data()
        except FarmError as error:
            return Check("set-up", WARNING, str(error), "blendnet cloud prepare")
        return Check("set-up", OK, f"farm {self._own.farm} is set up")

    def _permissions(self) -> list[tuple[str, Callable[[], Check]]]:
        """Calls that change something, as rehearsals: AWS says whether they were permitted, and does nothing."""
        ec2 = self._clients["ec2"]
        data = {"ImageId": "ami-00000000000000000", "InstanceType": self._machines[0]}
        name = self._own.launch("rehearsal")
        tags = labels.specification(self._own.tags(labels.LAUNCH_ROLE), "launch-template")
        calls: dict[str, Callable[[], object]] = {
            "ec2:CreateLaunchTemplate": lambda: ec2.create_launch_template(
                LaunchTemplateName=name, LaunchTemplateData=data, TagSpecifications=tags, DryRun=True
            ),
            "ec2:CreateFleet": lambda: ec2.create_fleet(
                Type="instant",
                LaunchTemplateConfigs=[
                    {"LaunchTemplateSpecification": {"LaunchTemplateName": self._own.template, "Version": "$Default"}}
                ],
                TargetCapacitySpecification={"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "spot"},
                DryRun=True,
            ),
        }
        calls |= self._more_calls()
        return [(action, partial(self._rehearse, action, call)) for action, call in calls.items()]

    def _more_calls(self) -> Mapping[str, Callable[[], object]]:
        try:
            return self._rehearsals()
        except FarmError as error:
            text = str(error)

            def unknown() -> None:
                raise FarmError(text)

            return {"of the Manager's machine": unknown}

    def _rehearse(self, action: str, call: Callable[[], object]) -> Check:
        from botocore.exceptions import ClientError

        name = f"permission: {action}"
        try:
            with explained(f"rehearse {action}"):
                call()
        except FarmError as error:
            cause = error.__cause__
            code = trouble.code_of(cause) if isinstance(cause, ClientError) else ""
            if code == "DryRunOperation":
                return Check(name, OK, "permitted")
            state = PROBLEM if code in trouble.DENIED else WARNING
            return Check(name, state, str(error), POLICY_HELP if state is PROBLEM else "")
        return Check(name, WARNING, "AWS did not say whether it is permitted")

    def _quotas(self) -> list[Check]:
        try:
            found = quotas.read(self._clients)
        except FarmError as error:
            return [Check("quota", WARNING, str(error), POLICY_HELP)]
        return [self._quota(kind, quota) for kind, quota in zip(quotas.KINDS, found, strict=True)]

    def _quota(self, kind: quotas.Kind, quota: Quota) -> Check:
        name, page = f"quota: {quota.name}", kind.console(self._own.region)
        if quota.limit is None:
            return Check(name, WARNING, "AWS does not say how many there may be: it will when it refuses", page)
        used = "?" if quota.used is None else f"{quota.used:g}"
        text = f"{used} of {quota.limit:g} vCPU are in use"
        least = VCPUS if kind is quotas.ON_DEMAND else 1
        if quota.limit - (quota.used or 0.0) >= least:
            return Check(name, OK, text)
        if kind is quotas.ON_DEMAND:
            text = f"{text}: a Manager's machine needs {VCPUS}"
        # Most farms need one kind only: the others may well be closed.
        needed = kind.name == "spot vCPU" or any(kind.counts(m, spot=kind.spot) for m in self._machines)
        state = PROBLEM if needed and kind.spot else WARNING
        return Check(name, state, text, f"ask for more: {page}")

    def _offerings(self) -> Check:
        with explained("ask which machine types are on offer"):
            pages = self._clients["ec2"].get_paginator("describe_instance_type_offerings")
            wanted = [{"Name": "instance-type", "Values": self._machines}]
            answers = pages.paginate(LocationType="availability-zone", Filters=wanted)
            found = [(o["InstanceType"], o["Location"]) for page in answers for o in page["InstanceTypeOfferings"]]
        return offered(self._machines, found, self._own.region)

    def _price(self, *, spot: bool) -> Check:
        name = "spot prices" if spot else "list prices"
        known = self._prices.of([Offer(machine, "", spot) for machine in self._machines])
        if missing := [machine for machine in self._machines if Offer(machine, "", spot) not in known]:
            return Check(
                name, WARNING, f"unknown for {labels.named(missing)}", "option prices (docs/clouds.md, Prices)"
            )
        now = self._clock()
        texts = [
            f"{p.machine} {p.usd_per_hour:g} USD/h ({p.source}, {p.age_s(now) / 3600:.1f} h old)"
            for p in known.values()
        ]
        return Check(name, OK, labels.named(texts, most=3))


def offered(wanted: Sequence[str], found: Sequence[tuple[str, str]], region: str) -> Check:
    """Whether types are on offer in at least one zone. PURE."""
    zones = {machine: sorted(zone for type_, zone in found if type_ == machine) for machine in wanted}
    missing = [machine for machine in wanted if not zones[machine]]
    text = labels.named(
        [f"{machine} in {labels.named(zones[machine])}" for machine in wanted if zones[machine]], most=3
    )
    if not missing:
        return Check("machine types", OK, text)
    state = WARNING if text else PROBLEM
    help_ = f"aws ec2 describe-instance-type-offerings --region {region}    (then the option machines)"
    return Check("machine types", state, f"not on offer: {labels.named(missing)}. On offer: {text or 'none'}", help_)
