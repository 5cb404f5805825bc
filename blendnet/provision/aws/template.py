"""The launch template of a farm: what all its agents have in common, decided once by who sets the farm up."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

from blendnet.errors import FarmError
from blendnet.provision.aws import labels, machines, trouble
from blendnet.provision.aws.clients import Clients
from blendnet.provision.aws.images import Images
from blendnet.provision.aws.labels import Labels
from blendnet.provision.aws.options import Options
from blendnet.provision.aws.trouble import explained

STALE_S = 3600.0
"""Templates of single machines live for seconds; one that is older was left by a crash."""
_DEFAULT = "$Default"
_KEYS = (
    "ImageId",
    "SecurityGroupIds",
    "BlockDeviceMappings",
    "InstanceInitiatedShutdownBehavior",
    "MetadataOptions",
    "KeyName",
)


METADATA = {"HttpTokens": "required", "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"}
"""IMDSv2 only, and out of reach of containers."""


def root_disk(image: Mapping[str, Any], size_gb: int) -> list[dict[str, Any]]:
    """BlockDeviceMappings of a machine whose only disk ends with it. PURE."""
    disk = {"VolumeSize": size_gb, "VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True}
    return [{"DeviceName": image.get("RootDeviceName") or "/dev/xvda", "Ebs": disk}]


def template_data(image: Mapping[str, Any], group: str, options: Options) -> dict[str, Any]:
    """What all agents have in common. PURE."""
    return {
        "ImageId": image["ImageId"],
        "SecurityGroupIds": [group],
        "BlockDeviceMappings": root_disk(image, int(float(options.disk_gb))),
        # Whatever powers an agent off, its own timers too, ends what it costs.
        "InstanceInitiatedShutdownBehavior": "terminate",
        # No instance profile: agents hold no cloud keys.
        "MetadataOptions": METADATA,
        **({"KeyName": options.key_pair} if options.key_pair else {}),
    }


def common(data: Mapping[str, Any]) -> dict[str, Any]:
    """What AWS described of a template, as it may be given to another. PURE."""
    found = {key: data[key] for key in _KEYS if data.get(key)}
    if "MetadataOptions" in found:
        found["MetadataOptions"] = {key: v for key, v in found["MetadataOptions"].items() if key != "State"}
    return found


class Template:
    """The launch templates of one farm. Thread-safe."""

    def __init__(self, clients: Clients, own: Labels, options: Options) -> None:
        self._clients = clients
        self._own = own
        self._options = options
        self._data: dict[str, Any] = {}
        self._lock = threading.Lock()

    def data(self) -> Mapping[str, Any]:
        """What all agents have in common; asked for once.

        Raises:
            FarmError: the farm has not been set up.
        """
        with self._lock:
            if not self._data:
                described = self._described()
                if described is None:
                    raise FarmError(
                        f"farm {self._own.farm} is not set up in {self._own.region}: `blendnet cloud prepare` does it"
                    )
                self._data = common(described["LaunchTemplateData"])
            return self._data

    def ensure(self, group: str) -> str:
        """Make the template what it has to be, a new version if need be; its name.

        Raises:
            FarmError, UserError: the image is not there.
        """
        ec2, name = self._clients["ec2"], self._own.template
        wanted = template_data(self.image(), group, self._options)
        # AWS adds to what it is given, so that the description says what that was.
        text = labels.digest(json.dumps(wanted, sort_keys=True))
        present = self._described()
        if present and present.get("VersionDescription") == text:
            return name
        with self._lock, explained(f"make the launch template {name}"):
            self._data = {}
            if present is None:
                tags = labels.specification(self._own.tags(labels.AGENT_ROLE, Name=name), "launch-template")
                ec2.create_launch_template(
                    LaunchTemplateName=name,
                    LaunchTemplateData=wanted,
                    VersionDescription=text,
                    TagSpecifications=tags,
                )
                return name
            made = ec2.create_launch_template_version(
                LaunchTemplateName=name, LaunchTemplateData=wanted, VersionDescription=text
            )
            number = str(made["LaunchTemplateVersion"]["VersionNumber"])
            ec2.modify_launch_template(LaunchTemplateName=name, DefaultVersion=number)
        return name

    def all(self) -> list[dict[str, Any]]:
        """All templates of the farm, those of single machines included. Raises FarmError."""
        with explained("list launch templates"):
            pages = self._clients["ec2"].get_paginator("describe_launch_templates")
            found = pages.paginate(Filters=labels.tag_filter(self._own.tags()))
            return [item for page in found for item in page["LaunchTemplates"]]

    def delete(self, template: Mapping[str, Any]) -> None:
        """Delete one; gone already is fine. Raises FarmError."""
        from botocore.exceptions import ClientError

        with explained(f"delete the launch template {template['LaunchTemplateName']}"):
            try:
                self._clients["ec2"].delete_launch_template(LaunchTemplateId=template["LaunchTemplateId"])
            except ClientError as error:
                if not trouble.code_of(error).startswith("InvalidLaunchTemplateId"):
                    raise

    def sweep(self, now: float) -> None:
        """Delete templates of single machines that a crash has left. Raises FarmError."""
        for template in self.all():
            old = now - (machines.seconds(template.get("CreateTime")) or now) > STALE_S
            if old and labels.tags_of(template).get(labels.ROLE) == labels.LAUNCH_ROLE:
                self.delete(template)

    def image(self) -> dict[str, Any]:
        """The AMI of agents, described. Raises UserError (there is none) or FarmError."""
        return Images(self._clients).agents(self._options.image)

    def _described(self) -> dict[str, Any] | None:
        from botocore.exceptions import ClientError

        with explained("read the farm's launch template"):
            try:
                found = self._clients["ec2"].describe_launch_template_versions(
                    LaunchTemplateName=self._own.template, Versions=[_DEFAULT]
                )
            except ClientError as error:
                if trouble.code_of(error).startswith("InvalidLaunchTemplateName"):
                    return None
                raise
        return dict(found["LaunchTemplateVersions"][0])
