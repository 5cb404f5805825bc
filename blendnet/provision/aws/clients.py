"""Clients of AWS' services: the SDK's own environment (profiles, regions, AWS_ENDPOINT_URL) decides where they go."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from blendnet.errors import FarmError, UserError
from blendnet.settings import cloud_variable

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 60.0
PRICING_REGION = "us-east-1"
"""One of the few regions that answer for the price list of all of them."""
AWS_HOSTS = (".amazonaws.com", ".amazonaws.com.cn")
"""Others that speak like S3 may not know a bucket by its own host name."""


class Clients:
    """One client a service, made when it is first asked for. Thread-safe.

    Raises UserError where the environment says how AWS is asked, and that cannot be.
    """

    def __init__(self, session: Any, region: str) -> None:
        self._session = session
        self.region = region
        self._made: dict[str, Any] = {}
        self._making = threading.Lock()

    def __getitem__(self, service: str) -> Any:
        with self._making:
            if service not in self._made:
                self._made[service] = self._make_or_tell(service)
            return self._made[service]

    def _make_or_tell(self, service: str) -> Any:
        from botocore.exceptions import BotoCoreError

        try:
            return self._make(service)
        except BotoCoreError:
            raise  # Explained by whoever asks.
        except ValueError as error:
            raise UserError(
                f"AWS cannot be asked: {error}. AWS_ENDPOINT_URL is an address as in http://localhost:4566, and "
                "AWS_MAX_ATTEMPTS a number; ~/.aws/config may say them, too"
            ) from error

    def _make(self, service: str) -> Any:
        from botocore.config import Config

        config = Config(
            # How often it tries is the environment's word: AWS_MAX_ATTEMPTS.
            retries={"mode": "adaptive"},
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            signature_version="s3v4" if service == "s3" else None,
            # Others that speak like S3 do not know the checksums that boto3 would add, nor the way it sends them.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            max_pool_connections=16,
            user_agent_extra="blendnet",
        )
        region = PRICING_REGION if service == "pricing" else self.region
        client = self._session.client(service, region_name=region, config=config)
        if service == "s3" and (urlsplit(client.meta.endpoint_url).hostname or "").endswith(AWS_HOSTS):
            # Signed addresses would name the bucket without its region, where a new one is not known for hours.
            own = config.merge(Config(s3={"addressing_style": "virtual"}))
            client = self._session.client(service, region_name=region, config=own)
        return client


def connect(region: str, options: Mapping[str, str]) -> Clients:
    """Clients for a region ('': what the environment or the profile says). Asks nothing of AWS.

    Raises:
        UserError: no region, or a profile that does not exist.
        FarmError: boto3 is not installed.
    """
    try:
        import boto3
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise FarmError("the provider aws needs boto3: pip install 'blendnet[aws]'") from error
    try:
        # boto3 alone of all tools of AWS does not read AWS_REGION.
        region = region or cloud_variable("AWS_REGION")
        session = boto3.Session(profile_name=options.get("profile") or None, region_name=region or None)
    except BotoCoreError as error:
        raise UserError(f"{error}: `aws configure list-profiles` shows those there are") from error
    if not session.region_name:
        raise UserError("no AWS region: name one, for example with AWS_REGION=eu-central-1")
    return Clients(session, session.region_name)
