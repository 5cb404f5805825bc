"""Settings about clouds: where machines are from, what estimates assume, and a Manager that is in one itself."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from blendnet.settings.source import Variables


class Clouds(Variables):
    """Part of Settings."""

    # Clouds (docs/estimates.md says where the numbers are from)
    cloud_provider: str = ""
    """Who gives machines when --provider does not say."""
    cloud_region: str = ""
    """Where; empty: what the cloud's own settings name."""
    cloud_options: str = ""
    """What only that provider knows: 'project=my-farm; zones=a,b'."""
    estimate_preemptions_per_hour: float = Field(default=0.05, ge=0)
    """Estimates: how often a spot machine is taken away."""
    estimate_disk_gb: float = Field(default=30.0, ge=0)
    """Estimates, and bills where clouds bill it apart: disk of an agent's machine."""
    estimate_disk_usd_per_gb_month: float = Field(default=0.1, ge=0)
    estimate_address_usd_per_hour: float = Field(default=0.005, ge=0)
    """The same: the public address of a machine."""
    estimate_egress_usd_per_gb: float = Field(default=0.12, ge=0)
    """Estimates, and bills of a Manager in a cloud: bringing results home."""
    fleet_quota_again_s: float = Field(default=30.0, gt=0)
    """A quota that was told while machines came or went may count them twice: it is asked for again after so long."""
    fleet_end_told_s: float = Field(default=900.0, ge=0)
    """A cloud may tell so much later that a machine has ended: what was counted since then is taken back."""
    cap_end_s: float = Field(default=60.0, ge=0)
    """Caps of day and farm keep money back for so long until the end of a machine that was told to end is confirmed."""
    cap_results_s: float = Field(default=7 * 86_400.0, ge=0)
    """They keep money back for bringing results home, until those came home once or their job ended so long ago."""
    gcp_endpoint: str = ""
    """Address of all of Google's APIs, for tests: 'http://127.0.0.1:port' of a fake, which gets no credentials."""

    # A Manager on a machine of its own in a cloud (docs/clouds.md): `blendnet cloud up` sets them there
    manager_cloud: Literal["", "aws", "gcp"] = ""
    """Cloud whose metadata service (at `notice_url`) knows this machine's public address; empty: no such machine."""
    manager_bucket: str = ""
    """The farm's bucket, s3://NAME or gs://NAME: the Manager says there who it is and where; empty: nowhere."""
    manager_idle_s: float = Field(default=0.0, ge=0)
    """Without anything to do for so long the Manager deletes its agents and ends; 0: never. In the cloud 1800."""
    manager_attended_s: float = Field(default=300.0, ge=0)
    """So long after an owner's last request somebody is taken to be there, and an idle Manager stays."""
    manager_usd_per_hour: float = Field(default=0.0, ge=0)
    """What the Manager's own machine costs while the Manager runs: counted, and held against caps; 0: nothing."""
    owner_hash: str = Field(default="", repr=False)
    """argon2id hash of the owner's password, which then lies in no file of the Manager; empty: it makes a password."""
    farm_label: str = ""
    """What the farm's things in a cloud are labelled with; empty: what its data folder says, chosen at random."""
