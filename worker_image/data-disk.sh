#!/usr/bin/env bash
# Mounts the lasting disk of a Manager. A disk that is empty gets a file system, once; one that holds anything else than
# BlendNet's is never touched. Run at every boot by blendnet-data.service; may be run again.
#   data-disk GLOB FOLDER
# GLOB: the disk's device, as '/dev/disk/by-id/google-blendnet-data'; may fit other disks, too. FOLDER: where to mount.
set -euo pipefail
shopt -s nullglob

pattern=$1
folder=$2
label=blendnet-data
wait_s=${BLENDNET_DISK_WAIT_S:-300}

say() { echo "data disk: $*"; }
fail() {
  echo "data disk: $*" >&2
  exit 1
}

# Whole disks that the glob means, each once.
disks() {
  local name
  # Words are wanted here: the glob stands for several names.
  # shellcheck disable=SC2086
  for name in $pattern; do
    name=$(readlink -f "$name")
    [ "$(lsblk --nodeps --noheadings --output TYPE "$name" 2>/dev/null | tr -d ' ')" = disk ] && echo "$name"
  done | sort -u
}

is_ours() { [ "$(blkid --probe --match-tag LABEL --output value "$1" 2>/dev/null)" = "$label" ]; }

# Nothing on it that anybody knows, no partition, and zeros where everything begins.
is_empty() {
  local status=0
  [ "$(lsblk --noheadings --output NAME "$1" | wc -l)" = 1 ] || return 1
  blkid --probe "$1" >/dev/null 2>&1 || status=$?
  [ "$status" = 2 ] && cmp --silent --bytes=4194304 "$1" /dev/zero
}

# Sets `found` to the disk, and `new` when it is empty; false while there is none.
look() {
  local disk empty=()
  found='' new=''
  for disk in $(disks); do
    if is_ours "$disk"; then
      [ -z "$found" ] || fail "two disks have the label $label: $found and $disk"
      found=$disk
    elif is_empty "$disk"; then
      empty+=("$disk")
    fi
  done
  [ -z "$found" ] || return 0
  [ "${#empty[@]}" -le 1 ] || fail "several disks are empty, none has the label $label: ${empty[*]}"
  [ "${#empty[@]}" = 1 ] || return 1
  found=${empty[0]} new=yes
}

main() {
  local left=$wait_s
  if mountpoint --quiet "$folder"; then
    say "$folder is mounted already"
    return
  fi
  until look; do
    [ "$left" -gt 0 ] || fail "no disk at $pattern with the label $label, and none that is empty, within $wait_s s: nothing was changed"
    sleep 1
    left=$((left - 1))
  done
  if [ -n "$new" ]; then
    say "$found is empty: it gets a file system"
    mkfs.ext4 -q -m 0 -L "$label" "$found"
  else
    # 1: it has mended something. It may be larger than it was.
    fsck.ext4 -p "$found" || [ $? = 1 ] || fail "the file system on $found is damaged: attach the disk to another machine and mend it there with fsck.ext4"
    resize2fs "$found" || say "$found keeps its size"
  fi
  mkdir -p "$folder"
  mount -o noatime,nodev,nosuid "$found" "$folder"
  say "$found is at $folder"
}

main
