build {
  sources = [
    "source.amazon-ebs.worker",
    "source.googlecompute.worker",
    "source.azure-arm.worker",
  ]

  # The machine is still being set up when it can be reached: two would use apt at once.
  provisioner "shell" {
    inline = ["command -v cloud-init >/dev/null && cloud-init status --wait >/dev/null || true"]
  }

  provisioner "file" {
    source      = var.bundle
    destination = "/tmp/blendnet-bundle.tar.gz"
  }

  provisioner "shell" {
    inline = [local.install]
  }

  # Azure makes an image only of a machine that was told to forget itself.
  provisioner "shell" {
    only   = ["azure-arm.worker"]
    inline = ["sudo /usr/sbin/waagent -force -deprovision && sync"]
  }
}
