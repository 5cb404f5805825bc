source "azure-arm" "worker" {
  use_azure_cli_auth                = true
  location                          = var.azure_location
  vm_size                           = var.azure_machine
  os_type                           = "Linux"
  image_publisher                   = "Debian"
  image_offer                       = "debian-12"
  image_sku                         = "12-gen2"
  os_disk_size_gb                   = var.gpu ? 32 : 30
  managed_image_name                = "${local.label}-${local.made}"
  managed_image_resource_group_name = var.azure_group
}
