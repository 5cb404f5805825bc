"""`blendnet cloud`: a Manager in the cloud; who gives machines, what they cost, whether all is ready for them."""

from __future__ import annotations

import click

from blendnet.cli.lazy import LazyGroup

PLACES = {
    **{name: f"cloud_up:{name}" for name in ("up", "start")},
    **{name: f"cloud_stop:{name}" for name in ("stop", "destroy")},
    **{name: f"cloud_status:{name}" for name in ("status", "logs")},
    **{name: f"cloud_{name}:{name}" for name in ("doctor", "types", "estimate")},
    **{name: f"cloud_account:{name}" for name in ("prepare", "remains", "remove")},
}
"""Command -> module and object below blendnet.cli."""


@click.group(cls=LazyGroup, places=PLACES, no_args_is_help=True)
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
