#!/usr/bin/env bash
# Removes from a machine what must not be in an image made of it: identity, keys, secrets, caches, logs.
#   clean.sh [ROOT]     ROOT: folder of the machine's files [default: /]
# Only for machines that become an image: nobody can log in afterwards with the keys of before.
set -euo pipefail
shopt -s nullglob dotglob

root=${1:-/}
root=${root%/}

remove() {
  local path
  for path in "$@"; do
    rm -rf -- "$path"
  done
}

# Identity: made anew at the first boot.
remove "$root"/etc/ssh/ssh_host_* "$root"/var/lib/dbus/machine-id "$root"/var/lib/systemd/random-seed \
  "$root"/var/lib/systemd/credential.secret "$root"/var/lib/dhcp/* "$root"/var/lib/cloud "$root"/var/lib/dkms/mok.*
mkdir -p "$root/etc"
: >"$root/etc/machine-id"

# Whoever made the image, and what an agent would know.
remove "$root"/root/.ssh "$root"/home/*/.ssh "$root"/root/.*_history "$root"/home/*/.*_history "$root"/etc/sudoers.d/90-cloud-init-users
for path in "$root"/var/lib/blendnet/*; do
  [ "$path" = "$root/var/lib/blendnet/blenders" ] || remove "$path"
done
remove "$root"/etc/blendnet/* "$root"/run/blendnet "$root"/run/blendnet-* "$root"/var/lib/blendnet-bundle

# Caches and logs.
remove "$root"/root/.cache "$root"/home/*/.cache "$root"/var/cache/apt/archives/* "$root"/var/cache/apt/*.bin \
  "$root"/var/lib/apt/lists/* "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old "$root"/var/tmp/* "$root"/tmp/* \
  "$root"/var/log/journal/*
if [ -d "$root/var/log" ]; then
  find "$root/var/log" -type f \( -name '*.gz' -o -name '*.[0-9]' -o -name '*.old' \) -delete
  find "$root/var/log" -type f -exec truncate --size 0 {} +
fi
