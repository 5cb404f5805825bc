source "googlecompute" "worker" {
  project_id          = var.gcp_project
  zone                = var.gcp_zone
  machine_type        = var.gcp_machine
  source_image_family = "debian-12"
  ssh_username        = "packer"
  disk_size           = var.gpu ? 24 : 12
  disk_type           = "pd-balanced"
  image_name          = "${local.label}-${local.made}"
  image_family        = local.label
  # The machine that makes the image needs no key to anything.
  disable_default_service_account = true
}
