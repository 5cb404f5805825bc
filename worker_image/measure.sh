#!/usr/bin/env bash
# Measures how long a bare Debian 12 needs to become a worker, and a worker to its first sample, in a folder.
#   measure.sh [--gpu] BUNDLE SCENE [FOLDER]
# --gpu: also with a cloud's kernel and NVIDIA's driver, which is built for it and looked at, but never loaded.
# Needs root, debootstrap and the network. FOLDER [default: a temporary one, removed] may hold a Debian already. All
# mounts are made in a namespace that ends with this script, however it ends.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
gpu=()
if [ "$1" = --gpu ]; then
  gpu=(--gpu)
  shift
fi
bundle=$(realpath "$1")
scene=$(realpath "$2")
root=${3:-}

if [ -z "${BLENDNET_MEASURE_INSIDE:-}" ]; then
  BLENDNET_MEASURE_INSIDE=1 exec unshare --mount --propagation private --fork --kill-child \
    bash "${BASH_SOURCE[0]}" "${gpu[@]}" "$bundle" "$scene" "$root"
fi
if [ -z "$root" ]; then
  root=$(mktemp -d)
  # What is mounted in there is not removed: it is unmounted first, or nothing is removed.
  trap 'umount -R "$root/proc" "$root/dev" 2>/dev/null || true; rm -rf --one-file-system "$root"' EXIT
fi

# shellcheck source=worker_image/steps.sh
source "$here/steps.sh"

inside() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "${pip[@]}" "$@"; }

as_agent() {
  inside setpriv --reuid blendnet --regid blendnet --clear-groups --no-new-privs env HOME=/var/lib/blendnet \
    XDG_DATA_HOME=/var/lib BLENDNET_BLENDERS_DIR=/var/lib/blendnet/blenders "$@"
}

size() { du -sm --one-file-system "$root" | awk -v n="$1" '{printf "%-44s %6d MB\n", n, $1}'; }

# What a driver is made of: its module for every kernel that will boot, firmware, the libraries of CUDA and OptiX.
driver() {
  local kernel library missing=0
  for kernel in "$root"/lib/modules/*; do
    kernel=$(basename "$kernel")
    find "$root/lib/modules/$kernel" -name 'nvidia*.ko*' | sed "s#$root#  #" >&2
    inside modinfo --set-version "$kernel" nvidia-current | grep -E '^(filename|version|vermagic):' | sed 's/^/  /' >&2
  done
  find "$root/lib/firmware/nvidia" -name 'gsp*.bin' | sed "s#$root#  #" >&2
  for library in libcuda.so.1 libnvoptix.so.1 libnvidia-rtcore.so libnvidia-ptxjitcompiler.so.1 libnvidia-ml.so.1; do
    inside ldconfig -p | grep -F "$library" >&2 || missing=1
  done
  return $missing
}

if [ ! -x "$root/usr/bin/apt-get" ]; then
  step "debootstrap (a cloud's image has this)" debootstrap --variant=minbase \
    --include=ca-certificates,systemd,systemd-sysv bookworm "$root" http://deb.debian.org/debian
  echo "deb http://deb.debian.org/debian-security bookworm-security main" >"$root/etc/apt/sources.list.d/security.list"
fi
mkdir -p "$root/proc" "$root/dev"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
pip=()
if [ -n "${PIP_CERT:-}" ]; then
  install -m 0644 "$PIP_CERT" "$root/var/local/pip.crt"
  pip=(PIP_CERT=/var/local/pip.crt)
fi
unpacked=$root/var/lib/blendnet-bundle
rm -rf "$unpacked"
mkdir -p "$unpacked"
tar -xzf "$bundle" -C "$unpacked"

installer=/var/lib/blendnet-bundle/worker_image/install.sh
step "install.sh without Blender" inside "$installer" --no-blender
step "install.sh, Blender builds" inside "$installer"
step "install.sh again" inside "$installer"
du -sh --one-file-system "$root/opt/blendnet" "$root"/opt/blender/* | sed "s#$root##" >&2

install -m 0644 "$scene" "$root/var/local/scene.blend"
install -m 0644 "$here/first_sample.py" "$root/var/local/first_sample.py"
step "blendnet agent --help" as_agent /opt/blendnet/bin/blendnet agent --help
step "the first sample, files not in memory" as_agent /opt/blendnet/bin/python /var/local/first_sample.py drop
step "the first sample, files in memory" as_agent /opt/blendnet/bin/python /var/local/first_sample.py

if [ "${#gpu[@]}" -gt 0 ]; then
  size "without a kernel and a driver"
  step "the kernel of a cloud (its image has this)" inside apt-get install -y -qq --no-install-recommends \
    linux-image-cloud-amd64
  size "with the kernel"
  step "install.sh --gpu" inside "$installer" --gpu
  size "with the driver"
  driver
  step "install.sh --gpu again" inside "$installer" --gpu
  for device in CUDA OPTIX; do
    step "a sample by $device" as_agent /opt/blendnet/bin/python /var/local/first_sample.py "$device" ||
      echo "not rendered by $device" >&2
  done
  step "a sample by the CPU all the same" as_agent /opt/blendnet/bin/python /var/local/first_sample.py
fi
rm -rf "$root"/var/local/*
step "install.sh --image" inside "$installer" --image "${gpu[@]}"
du -sh --one-file-system "$root" | sed "s#$root#whole image#" >&2
