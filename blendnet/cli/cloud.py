"""`blendnet cloud`: a Manager in the cloud; who gives machines, what they cost, whether all is ready for them."""

from __future__ import annotations

import click

from blendnet.cli.cloud_account import prepare, remains, remove
from blendnet.cli.cloud_doctor import doctor
from blendnet.cli.cloud_estimate import estimate
from blendnet.cli.cloud_status import logs, status
from blendnet.cli.cloud_stop import destroy, stop
from blendnet.cli.cloud_types import types
from blendnet.cli.cloud_up import start, up


@click.group(no_args_is_help=True)
def cloud() -> None:
    """Have the farm's Manager in your own cloud account; check a cloud, its machines and prices.

    \b
    A Manager in the cloud:
      blendnet cloud up --provider aws --region eu-central-1
      blendnet job submit scene.blend
      blendnet cloud status
      blendnet cloud stop          # `cloud start` goes on with everything
      blendnet cloud destroy
    \b
    Before that:
      blendnet cloud doctor --provider aws --region eu-central-1
      blendnet cloud types --provider aws --min-vcpus 16
      blendnet cloud estimate scene.blend --provider aws --agents 8
      blendnet cloud prepare --provider aws

    Without --provider the place of the farm's Manager counts, else BLENDNET_CLOUD_PROVIDER. `up` alone makes a machine;
    `prepare` makes what machines need, `remains` lists all of the farm, `remove` and `destroy` remove it.
    """


for _command in (up, start, stop, status, logs, destroy):
    cloud.add_command(_command)
cloud.add_command(doctor)
cloud.add_command(types)
cloud.add_command(estimate)
cloud.add_command(prepare)
cloud.add_command(remains)
cloud.add_command(remove)
