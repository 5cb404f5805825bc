"""What the Manager may do on Google Cloud: all that it needs, and no more. PURE."""

MANAGER_PERMISSIONS = (
    "compute.disks.create",
    "compute.disks.delete",
    "compute.disks.list",
    "compute.disks.setLabels",
    "compute.globalOperations.get",
    "compute.globalOperations.list",
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
    "compute.firewalls.create",
    "compute.firewalls.delete",
    "compute.firewalls.get",
    "compute.firewalls.list",
    "compute.firewalls.update",
    "compute.networks.updatePolicy",
    "iam.roles.create",
    "iam.roles.delete",
    "iam.roles.update",
    "iam.serviceAccounts.create",
    "iam.serviceAccounts.delete",
    "resourcemanager.projects.setIamPolicy",
    "storage.buckets.create",
    "storage.buckets.delete",
)
"""What the owner needs besides, to make and remove a farm's firewall rules, identity and bucket."""

BUCKET_ROLE = "roles/storage.objectAdmin"
"""The Manager's role on the farm's bucket alone."""
