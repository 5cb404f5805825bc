"""What the Manager may do on Google Cloud: all that it needs, and no more. PURE."""

MANAGER_PERMISSIONS = (
    "compute.disks.create",
    "compute.disks.delete",
    "compute.disks.list",
    "compute.disks.setLabels",
    "compute.globalOperations.get",
    "compute.globalOperations.list",
    "compute.images.useReadOnly",
    "compute.instances.create",
    "compute.instances.delete",
    "compute.instances.get",
    "compute.instances.getSerialPortOutput",
    "compute.instances.list",
    "compute.instances.setLabels",
    "compute.instances.setMetadata",
    "compute.instances.setTags",
    "compute.instances.simulateMaintenanceEvent",
    "compute.machineTypes.list",
    "compute.projects.get",
    "compute.regions.get",
    "compute.subnetworks.use",
    "compute.subnetworks.useExternalIp",
    "compute.zoneOperations.get",
    "compute.zoneOperations.list",
    "compute.zones.list",
)
"""The role of the Manager's service account; `cloud doctor` asks whether whoever runs it has them."""

OWNER_PERMISSIONS = (
    "compute.disks.resize",
    "compute.disks.use",
    "compute.firewalls.create",
    "compute.firewalls.delete",
    "compute.firewalls.get",
    "compute.firewalls.list",
    "compute.firewalls.update",
    "compute.instances.setServiceAccount",
    "compute.instances.start",
    "compute.instances.stop",
    "compute.networks.updatePolicy",
    "iam.roles.create",
    "iam.roles.delete",
    "iam.roles.get",
    "iam.roles.undelete",
    "iam.roles.update",
    "iam.serviceAccounts.actAs",
    "iam.serviceAccounts.create",
    "iam.serviceAccounts.delete",
    "iam.serviceAccounts.get",
    "iam.serviceAccounts.getIamPolicy",
    "iam.serviceAccounts.setIamPolicy",
    "resourcemanager.projects.getIamPolicy",
    "resourcemanager.projects.setIamPolicy",
    "storage.buckets.create",
    "storage.buckets.delete",
    "storage.buckets.list",
)
"""What the owner needs besides, to make and remove a farm's firewall rules, identity and bucket, and to make, start and
stop its Manager's machine."""

BUCKET_ROLES = ("roles/storage.objectUser", "roles/storage.legacyBucketReader")
"""The Manager's on the farm's bucket alone: it reads and writes what is in it, and sees how the bucket is set."""

SIGNING_ROLE = "roles/iam.serviceAccountTokenCreator"
"""The Manager's on its own service account alone: Google signs addresses of files for it, for it has no key."""
