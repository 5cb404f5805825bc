#!/usr/bin/env bash
# Mounts the lasting disk of a Manager. A disk that is empty gets a file system, once; one that holds anything else than
# BlendNet's is never touched. While the file system is made a mark on the disk says so: what was broken off is begun
# anew. Run at every boot by blendnet-data.service; may be run again.
#   data-disk GLOB FOLDER
# GLOB: the disk's device, as '/dev/disk/by-id/google-blendnet-data'; may fit other disks, too. FOLDER: where to mount.
set -euo pipefail
shopt -s nullglob

pattern=$1
folder=$2
label=blendnet-data
wait_s=${BLENDNET_DISK_WAIT_S:-300}
mark='blendnet-data: this disk was empty, and gets its file system'
mark_from_end=1048576 # bytes; mkfs writes nothing there

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

# Nothing on it that anybody knows, and no partition.
is_unknown() {
  local status=0
  [ "$(lsblk --noheadings --output NAME "$1" | wc -l)" = 1 ] || return 1
  blkid --probe "$1" >/dev/null 2>&1 || status=$?
  [ "$status" = 2 ]
}

# And zeros where everything begins.
is_empty() { is_unknown "$1" && cmp --silent --bytes=4194304 "$1" /dev/zero; }

# Where the mark is, in blocks of 4096 bytes.
mark_at() { echo $((($(blockdev --getsize64 "$1" 2>/dev/null || stat -c %s "$1") - mark_from_end) / 4096)); }

put_mark() { dd of="$1" bs=4096 count=1 seek="$(mark_at "$1")" conv=sync,notrunc,fsync iflag=fullblock status=none; }

drop_mark() { put_mark "$1" </dev/zero; }

has_mark() { [ "$(dd if="$1" bs=4096 count=1 skip="$(mark_at "$1")" status=none | tr -d '\0')" = "$mark" ]; }

# It was empty when our mkfs began, mkfs was not heard to end, and nobody else has made anything of it.
is_unfinished() { is_unknown "$1" && has_mark "$1"; }

# Sets `found` to the disk, and `new` when it is empty or half made; false while there is none.
look() {
  local disk empty=()
  found='' new=''
  for disk in $(disks); do
    if is_ours "$disk"; then
      [ -z "$found" ] || fail "two disks have the label $label: $found and $disk"
      found=$disk
    elif is_empty "$disk" || is_unfinished "$disk"; then
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
    if is_empty "$found"; then
      say "$found is empty: it gets a file system"
      printf '%s' "$mark" | put_mark "$found"
    else
      say "$found was empty when the making of its file system was broken off: it is made anew"
    fi
    mkfs.ext4 -q -F -m 0 -E nodiscard -L "$label" "$found"
    drop_mark "$found"
  else
    # mkfs had ended, and the machine did before it was said: a file system that is damaged later is not to be made anew.
    if has_mark "$found"; then drop_mark "$found"; fi
    # 1: it has mended something. It may be larger than it was.
    fsck.ext4 -p "$found" || [ $? = 1 ] || fail "the file system on $found is damaged: attach the disk to another machine and mend it there with fsck.ext4"
    resize2fs "$found" || say "$found keeps its size"
  fi
  mkdir -p "$folder"
  mount -o noatime,nodev,nosuid "$found" "$folder"
  say "$found is at $folder"
}

main
