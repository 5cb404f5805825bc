"""`blendnet cloud`: who gives machines, what they cost, and whether everything is ready for them."""

from __future__ import annotations

import click

from blendnet.cli.cloud_doctor import doctor
from blendnet.cli.cloud_estimate import estimate
from blendnet.cli.cloud_types import types


@click.group(no_args_is_help=True)
def cloud() -> None:
    """Check a cloud, list its machines with their prices, and estimate what a scene will cost there.

    \b
    Examples:
      blendnet cloud doctor --provider aws --region eu-central-1
      blendnet cloud types --provider aws --min-vcpus 16
      blendnet cloud estimate scene.blend --provider aws --agents 8

    Without --provider the setting BLENDNET_CLOUD_PROVIDER counts. Nothing here creates a machine or costs money.
    """


cloud.add_command(doctor)
cloud.add_command(types)
cloud.add_command(estimate)
