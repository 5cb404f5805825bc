#!/usr/bin/env bash
# Makes a BlendNet worker of a Debian 12: packages, the agent in /opt/blendnet, Blender builds in /opt/blender, a user
# without privileges, a hardened service. Run as root from an unpacked bundle (bundle.sh); may be run again.
#   install.sh [--image] [--gpu] [--no-blender]
#   install.sh --manager
# --image       afterwards remove keys, identity, caches and logs, for a machine that becomes an image (clean.sh)
# --gpu         also install the driver of NVIDIA's GPUs
# --no-blender  leave Blender builds to be fetched when a job wants them
# --manager     make a Manager of it instead: Redis, the SDKs of clouds, its lasting disk, its service; no Blender
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bundle=$(dirname "$here")
home=/opt/blendnet
builds=/opt/blender
state=/var/lib/blendnet
user=blendnet
image='' gpu='' blender=yes manager=''
lock=$bundle/requirements.lock
list=$here/packages.txt
apt_wait_s=600

say() { echo "blendnet: $*"; }
fail() {
  echo "blendnet: $*" >&2
  exit 1
}

options() {
  local option
  for option; do
    case "$option" in
      --image) image=yes ;;
      --gpu) gpu=yes ;;
      --no-blender) blender='' ;;
      --manager)
        manager=yes blender='' lock=$bundle/requirements-manager.lock list=$here/packages-manager.txt
        ;;
      *) fail "there is no option $option: --image, --gpu, --no-blender, --manager" ;;
    esac
  done
  [ -z "$manager" ] || [ -z "$image$gpu" ] || fail "--manager goes with no other option"
}

check() {
  [ "$(id -u)" = 0 ] || fail "run this as root"
  command -v apt-get >/dev/null || fail "this is no Debian: apt-get is missing"
  [ "$(dpkg --print-architecture)" = amd64 ] || fail "Blender's builds are for amd64, this is $(dpkg --print-architecture)"
  wheels=("$bundle"/blendnet-*.whl)
  [ -f "${wheels[0]}" ] && [ "${#wheels[@]}" = 1 ] || fail "no blendnet wheel in $bundle: unpack what bundle.sh makes"
  [ -f "$lock" ] || fail "no $(basename "$lock") in $bundle"
}

names() { sed 's/#.*//' "$1" | tr -s '[:space:]' '\n' | sed '/^$/d'; }

# Others use apt, too, as Debian does every day: they are waited for. For its lists' lock apt-get itself does not wait.
apt_get() { LC_ALL=C apt-get -o "DPkg::Lock::Timeout=$apt_wait_s" -qq "$@"; }

refresh() {
  local end=$((SECONDS + apt_wait_s)) told
  until told=$(apt_get update 2>&1); do
    case $told in
      *"Could not get lock"*) [ "$SECONDS" -lt "$end" ] || fail "somebody else has apt for $apt_wait_s s: $told" ;;
      *) fail "apt-get update: $told" ;;
    esac
    say "waiting: somebody else uses apt"
    sleep 5
  done
}

packages() {
  local missing=() name
  for name; do
    dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  refresh
  apt_get install -y --no-install-recommends "${missing[@]}" >/dev/null
}

gpu_packages() {
  local kernel name
  # Debian's own files name main alone; the driver is in non-free.
  cat >/etc/apt/sources.list.d/blendnet-gpu.sources <<'SOURCES'
Types: deb
URIs: http://deb.debian.org/debian
Suites: bookworm bookworm-updates
Components: contrib non-free non-free-firmware
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
  # The driver is built for every kernel whose headers are there: those that will boot, not the one that runs now.
  mapfile -t kernel < <(dpkg-query -W -f '${Package} ${Status}\n' 'linux-image-*' 2>/dev/null |
    awk '$4 == "installed" {sub("linux-image", "linux-headers", $1); sub("-unsigned", "", $1); print $1}')
  [ "${#kernel[@]}" -gt 0 ] || kernel=(linux-headers-cloud-amd64)
  refresh
  for name in "${kernel[@]}"; do
    [ -n "$(apt-cache show "$name" 2>/dev/null)" ] ||
      fail "Debian has no $name any more, so that no driver can be built for that kernel: take a newer image of Debian 12"
  done
  mapfile -t listed < <(names "$here/packages-gpu.txt")
  packages "${kernel[@]}" "${listed[@]}"
  install -D -m 0644 "$here/units/gpu.conf" /etc/systemd/system/blendnet-agent.service.d/gpu.conf
}

manager_machine() {
  # The Manager starts a Redis of its own, and the ports are for that.
  systemctl --quiet mask --now redis-server.service 2>/dev/null || true
  install -D -m 0755 "$here/data-disk.sh" /usr/local/lib/blendnet/data-disk
}

account() {
  getent passwd "$user" >/dev/null ||
    useradd --system --user-group --home-dir "$state" --no-create-home --shell /usr/sbin/nologin "$user"
  install -d -m 0755 /etc/blendnet
  install -d -m 0700 -o "$user" -g "$user" "$state" "$state/blenders"
}

agent() {
  local wanted have
  wanted=$(cat "$lock" "${wheels[0]}" | sha256sum)
  have=$(cat "$home/.installed" 2>/dev/null || true)
  [ "$wanted" != "$have" ] || return 0
  say "installing $(basename "${wheels[0]}") in $home"
  rm -f "$home/.installed"
  python3 -m venv "$home"
  local pip=("$home/bin/python" -m pip install --quiet --no-cache-dir --disable-pip-version-check --no-input)
  "${pip[@]}" --require-hashes --only-binary :all: -r "$lock"
  "${pip[@]}" --no-deps --no-index --force-reinstall "${wheels[0]}"
  echo "$wanted" >"$home/.installed"
}

blenders() {
  local build
  install -d -m 0755 "$builds"
  [ -z "$blender" ] || bash "$here/blenders.sh" "$home/bin/blendnet" "$builds"
  # The agent may not change these; what it fetches itself lies beside the links.
  for build in "$builds"/bpy-* "$builds"/[0-9]*; do
    [ ! -d "$build" ] || ln -sfn "$build" "$state/blenders/$(basename "$build")"
  done
}

service() {
  install -D -m 0755 "$here/self-destruct.sh" /usr/local/lib/blendnet/self-destruct
  install -D -m 0644 -t /etc/systemd/system "$here"/units/blendnet-*.service "$here"/units/blendnet-*.timer
  [ ! -f "$here/worker-image.md" ] || install -D -m 0644 -t "$home/share/blendnet" "$here/worker-image.md"
  # In an image: whoever boots it and is no agent of a Manager that answers ends by itself.
  # Updates come with the next image: a machine of an hour spends no time on them.
  if [ -n "$image" ]; then
    systemctl --no-reload enable blendnet-self-destruct.timer 2>/dev/null || true
    systemctl --no-reload disable apt-daily.timer apt-daily-upgrade.timer 2>/dev/null || true
  fi
  [ ! -d /run/systemd/system ] || systemctl daemon-reload
}

main() {
  options "$@"
  check
  mapfile -t listed < <(names "$list")
  # Who an agent is comes by cloud-init, which Google's Debian lacks. A container is told by its command line.
  [ -z "$image" ] || [ ! -d /run/systemd/system ] || listed+=(cloud-init)
  packages "${listed[@]}"
  [ -z "$gpu" ] || gpu_packages
  [ -z "$manager" ] || manager_machine
  account
  agent
  blenders
  service
  [ -z "$image" ] || bash "$here/clean.sh"
  say "ready: $("$home/bin/blendnet" --version)"
}

main "$@"
