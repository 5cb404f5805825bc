"""`blendnet cloud`: who gives machines, what they cost, and whether everything is ready for them."""

from __future__ import annotations

import click

from blendnet.cli.cloud_account import prepare, remains, remove
from blendnet.cli.cloud_doctor import doctor
from blendnet.cli.cloud_estimate import estimate
from blendnet.cli.cloud_types import types


@click.group(no_args_is_help=True)
def cloud() -> None:
    """Check a cloud, list its machines with their prices, estimate what a scene will cost there, make it ready.

    \b
    Examples:
      blendnet cloud doctor --provider aws --region eu-central-1
      blendnet cloud types --provider aws --min-vcpus 16
      blendnet cloud estimate scene.blend --provider aws --agents 8
      blendnet cloud prepare --provider aws

    Without --provider the setting BLENDNET_CLOUD_PROVIDER counts. Nothing here creates a machine; `prepare` makes what
    machines need, `remains` lists it, `remove` removes it.
    """


cloud.add_command(doctor)
cloud.add_command(types)
cloud.add_command(estimate)
cloud.add_command(prepare)
cloud.add_command(remains)
cloud.add_command(remove)
