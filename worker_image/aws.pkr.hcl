source "amazon-ebs" "worker" {
  region        = var.aws_region
  instance_type = var.aws_machine
  ami_name      = "${local.label}-${local.made}"
  ssh_username  = "admin"

  source_ami_filter {
    filters = {
      name                = "debian-12-amd64-*"
      virtualization-type = "hvm"
      root-device-type    = "ebs"
    }
    # Debian's own account.
    owners      = ["136693071363"]
    most_recent = true
  }

  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_size           = var.gpu ? 24 : 12
    volume_type           = "gp3"
    iops                  = 3000
    throughput            = 125
    delete_on_termination = true
  }

  tags = {
    blendnet = local.label
  }
}
