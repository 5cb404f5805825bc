# Credentials are those of the clouds' own command lines: environment, profile, `gcloud auth application-default login`,
# `az login`. None of them belongs in here.
variable "bundle" {
  type        = string
  description = "What `make bundle` made."
  default     = "build/blendnet-bundle.tar.gz"
}

variable "gpu" {
  type        = bool
  description = "Install the driver of NVIDIA's GPUs."
  default     = false
}

variable "name" {
  type        = string
  description = "Beginning of the image's name."
  default     = "blendnet-worker"
}

variable "aws_region" {
  type    = string
  default = "us-east-1"
}

variable "aws_machine" {
  type        = string
  description = "Type of the machine that makes the AMI; with gpu=true one that has a GPU, such as g4dn.xlarge."
  default     = "c6i.xlarge"
}

variable "gcp_project" {
  type    = string
  default = "unset-project"
}

variable "gcp_zone" {
  type    = string
  default = "us-central1-a"
}

variable "gcp_machine" {
  type    = string
  default = "n2-standard-4"
}

variable "azure_group" {
  type        = string
  description = "Resource group that gets the image."
  default     = "unset-group"
}

variable "azure_location" {
  type    = string
  default = "westeurope"
}

variable "azure_machine" {
  type    = string
  default = "Standard_D4s_v5"
}

locals {
  label = "${var.name}${var.gpu ? "-gpu" : ""}"
  made  = formatdate("YYYYMMDDhhmmss", timestamp())
  install = join(" && ", [
    "sudo mkdir -p /var/lib/blendnet-bundle",
    "sudo tar -xzf /tmp/blendnet-bundle.tar.gz -C /var/lib/blendnet-bundle --no-same-owner",
    "sudo bash /var/lib/blendnet-bundle/worker_image/install.sh --image${var.gpu ? " --gpu" : ""}",
  ])
}
