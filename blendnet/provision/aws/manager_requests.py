"""What EC2 is asked for when it is to give a Manager's machine and its disk. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blendnet.provision.aws import labels, user_data
from blendnet.provision.aws.labels import Labels
from blendnet.provision.aws.template import METADATA, root_disk

MACHINE = "m6i.large"
"""2 vCPU and 8 GB of x86 at one price an hour, whatever it does: a burstable t3.large is a tenth cheaper until it
works, and then bills its bursts on top. ARM (t4g, m7g) runs none of Blender's wheels.
"""
ALTERNATIVES = ("m7i.large", "m6a.large", "m5.large", "m5a.large")
"""Of the same size and about the same price, for zones that have no MACHINE left: its disk may be in one."""
VCPUS = 2
"""Of that type: what the account's quota has to have room for."""
ROOT_GB = 16
"""Room for the system, BlendNet and one Blender: everything that lasts is on the other disk."""
DEVICE = "/dev/sdf"
"""Where the lasting disk is attached; the system calls it otherwise (nvme1n1)."""
DISK = f"/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol{'?' * 17}"
"""Links to whole disks of EBS by their 17 digits: neither to partitions nor to disks of the machine itself."""


def launch_request(
    text: str, own: Labels, *, machine: str, image: Mapping[str, Any], group: str, subnet: str
) -> dict[str, Any]:
    """Arguments of RunInstances, less the client token. `text`: user data.

    Raises:
        FarmError: the user data is longer than EC2 takes.
    """
    user_data.check(text, "the Manager's cloud-init")
    tags = own.tags(labels.MANAGER_ROLE, Name=f"{own.farm} Manager")
    return {
        "ImageId": image["ImageId"],
        "InstanceType": machine,
        "MinCount": 1,
        "MaxCount": 1,
        "UserData": text,
        "IamInstanceProfile": {"Name": own.role},
        "BlockDeviceMappings": root_disk(image, max(ROOT_GB, _image_gb(image))),
        "MetadataOptions": METADATA,
        # It powers itself off when there is nothing to do, and is started again with all that it had.
        "InstanceInitiatedShutdownBehavior": "stop",
        "NetworkInterfaces": [
            # Its owner reaches it from outside, whatever the subnet's own habit is.
            {
                "DeviceIndex": 0,
                "SubnetId": subnet,
                "Groups": [group],
                "AssociatePublicIpAddress": True,
                "DeleteOnTermination": True,
            }
        ],
        "TagSpecifications": labels.specification(tags, "instance", "volume", "network-interface"),
    }


def disk_request(own: Labels, zone: str, size_gb: int) -> dict[str, Any]:
    """Arguments of CreateVolume, less the client token. Disks that are attached later outlive their machine."""
    tags = own.tags(labels.DISK_ROLE, Name=f"{own.farm} Manager's disk")
    return {
        "AvailabilityZone": zone,
        "Size": size_gb,
        "VolumeType": "gp3",
        "Encrypted": True,
        "TagSpecifications": labels.specification(tags, "volume"),
    }


def _image_gb(image: Mapping[str, Any]) -> int:
    """What an image needs at least."""
    root = image.get("RootDeviceName")
    mappings = image.get("BlockDeviceMappings") or ()
    return max((int(m.get("Ebs", {}).get("VolumeSize", 0)) for m in mappings if m.get("DeviceName") == root), default=0)
