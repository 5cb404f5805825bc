"""Which images (AMI) machines start from."""

from __future__ import annotations

from typing import Any

from blendnet.errors import FarmError, UserError
from blendnet.provision.aws import trouble
from blendnet.provision.aws.clients import Clients
from blendnet.provision.aws.trouble import explained

OWN_IMAGES = "blendnet-agent-*"
STOCK_IMAGE = "/aws/service/debian/release/12/latest/amd64"
"""Public parameter with the AMI of Debian 12, by Debian itself."""


class Images:
    """The images of one region."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def agents(self, wanted: str) -> dict[str, Any]:
        """As `stock`, but '' stands for the newest image of the account's own first."""
        own = None if wanted else self._own()
        return own or self.stock(wanted)

    def stock(self, wanted: str, option: str = "image") -> dict[str, Any]:
        """The image that an option names ('': Debian 12), described.

        Raises:
            UserError: there is no such image in the region.
            FarmError: AWS does not say.
        """
        from botocore.exceptions import ClientError

        if not wanted or wanted.startswith("ssm:"):
            wanted = self.parameter(wanted.removeprefix("ssm:") or STOCK_IMAGE)
        try:
            with explained(f"look for the image {wanted}"):
                found = self._clients["ec2"].describe_images(ImageIds=[wanted])["Images"]
        except FarmError as error:
            if isinstance(error.__cause__, ClientError) and trouble.code_of(error.__cause__).startswith("InvalidAMIID"):
                found = []
            else:
                raise
        if not found:
            raise UserError(f"there is no image {wanted} in {self._clients.region}: the option {option} names another")
        return dict(found[0])

    def parameter(self, path: str) -> str:
        """The AMI that a parameter holds. Raises FarmError."""
        with explained(f"look up the image at {path}"):
            return str(self._clients["ssm"].get_parameter(Name=path)["Parameter"]["Value"])

    def _own(self) -> dict[str, Any] | None:
        filters = [{"Name": "name", "Values": [OWN_IMAGES]}, {"Name": "state", "Values": ["available"]}]
        with explained("look for the farm's own images"):
            found = self._clients["ec2"].describe_images(Owners=["self"], Filters=filters)["Images"]
        return max(found, key=lambda image: str(image.get("CreationDate", "")), default=None)
