"""What may be done on Google Cloud: the roles in policies/*.json, which `gcloud iam roles create --file` takes too."""

from __future__ import annotations

import json
from importlib import resources


def permissions_of(name: str) -> tuple[str, ...]:
    """What the role in policies/NAME.json permits."""
    text = resources.files(__package__).joinpath("policies", f"{name}.json").read_text("utf-8")
    return tuple(json.loads(text)["includedPermissions"])


MANAGER_PERMISSIONS = permissions_of("manager")
"""The role of the Manager's service account; `cloud doctor` asks whether whoever runs it has them."""

SETUP_PERMISSIONS = permissions_of("setup")
"""What a person needs who makes and removes farms: firewall rules, identity and bucket, and the Manager's machine."""

BY_BUCKET = (
    *("storage.buckets.get", "storage.buckets.getIamPolicy", "storage.buckets.setIamPolicy", "storage.buckets.update"),
    *("storage.objects.create", "storage.objects.delete", "storage.objects.get", "storage.objects.list"),
)
"""Those of them that the owner of a project has by each of its buckets: asked for the project, Google says no."""

OWNER_PERMISSIONS = tuple(one for one in SETUP_PERMISSIONS if one not in (*MANAGER_PERMISSIONS, *BY_BUCKET))
"""What `cloud doctor` asks for besides."""

BUCKET_ROLES = ("roles/storage.objectUser", "roles/storage.legacyBucketReader")
"""The Manager's on the farm's bucket alone: it reads and writes what is in it, and sees how the bucket is set."""

SIGNING_ROLE = "roles/iam.serviceAccountTokenCreator"
"""The Manager's on its own service account alone: Google signs addresses of files for it, for it has no key."""
