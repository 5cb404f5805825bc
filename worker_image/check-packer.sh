#!/usr/bin/env bash
# Checks the form and the content of Packer's files, where packer is on PATH.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
command -v packer >/dev/null || {
  echo "packer is not on PATH: its files are not checked" >&2
  exit 0
}
export CHECKPOINT_DISABLE=1 PACKER_NO_COLOR=1
packer fmt -check -diff "$here"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here"/*.pkr.hcl "$work"
# Packer 1.6 has the plugins built in, and does not know the block that names them.
! packer version | grep -q 'v1\.[0-6]\.' || rm "$work/plugins.pkr.hcl"
touch "$work/bundle.tar.gz"
packer validate -syntax-only "$work"
packer validate -var "bundle=$work/bundle.tar.gz" "$work"
