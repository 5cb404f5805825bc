#!/usr/bin/env bash
# Makes machine images with Packer, or says by which commands that is done.
#   images.sh BUNDLE [ONLY] [GPU]
# ONLY: amazon-ebs.worker, googlecompute.worker or azure-arm.worker. GPU: true for images with NVIDIA's driver.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bundle=$(realpath "$1")
only=${2:-}
gpu=${3:-false}

build=(packer build -var "bundle=$bundle" -var "gpu=${gpu:-false}" -only "${only:-amazon-ebs.worker}" "$here")
if [ -z "$only" ] || ! command -v packer >/dev/null || packer version | grep -q 'v1\.[0-6]\.'; then
  cat >&2 <<TEXT
Say which image: make images ONLY=amazon-ebs.worker (or googlecompute.worker, azure-arm.worker) [GPU=true].
It needs Packer 1.7 or later on PATH, and you logged in to that cloud (aws configure, gcloud auth application-default
login, az login). It starts a machine there for about 15 minutes, at your cost. The commands:

  packer init $here
  $(printf '%q ' "${build[@]}")
TEXT
  exit 1
fi
packer init "$here"
"${build[@]}"
