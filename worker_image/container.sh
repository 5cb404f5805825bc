#!/usr/bin/env bash
# Builds the agent's container with podman and no registry: what the Dockerfile starts from is made by debootstrap.
#   container.sh FOLDER
# Needs root, podman, debootstrap, the network, and the bundle (make bundle). All of podman's files are in FOLDER; with
# CONTAINERS_STORAGE_CONF=FOLDER/storage.conf CONTAINERS_CONF=FOLDER/containers.conf, podman finds the image there.
# Prints how long things took.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(dirname "$here")
mkdir -p "$1"
folder=$(realpath "$1")
base=$(awk '$1 == "FROM" {print $2}' "$here/Dockerfile")
image=blendnet-worker

for tool in podman runc debootstrap; do
  command -v "$tool" >/dev/null || {
    echo "Run first:  apt-get install --no-install-recommends podman runc debootstrap" >&2
    exit 1
  }
done
[ "$(id -u)" = 0 ] || {
  echo "debootstrap works as root only. Run:  sudo make container" >&2
  exit 1
}

# shellcheck source=worker_image/steps.sh
source "$here/steps.sh"

# As debian:bookworm-slim: a minimal Debian, and no documentation of any package.
debian() {
  local root=$folder/debian
  rm -rf --one-file-system "$root"
  debootstrap --variant=minbase bookworm "$root" http://deb.debian.org/debian
  printf 'path-exclude /usr/share/%s/*\n' doc man locale >"$root/etc/dpkg/dpkg.cfg.d/slim"
  rm -rf "$root"/usr/share/{doc,man,locale}/* "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
  tar -C "$root" -c . | podman import - "docker.io/library/$base"
  rm -rf --one-file-system "$root"
}

export CONTAINERS_STORAGE_CONF=$folder/storage.conf CONTAINERS_CONF=$folder/containers.conf
cat >"$CONTAINERS_STORAGE_CONF" <<CONF
[storage]
driver = "overlay"
graphroot = "$folder/storage"
runroot = "$folder/run"
CONF
# runc takes control groups of every kind. podman's own limits are higher than root of a container may set.
limit() {
  local most
  most=$(ulimit "$1")
  [ "$most" != unlimited ] && [ "$most" -lt "$2" ] || most=$2
  echo "$most:$most"
}
limits=("nofile=$(limit -Hn 1048576)" "nproc=$(limit -Hu 32768)")
cat >"$CONTAINERS_CONF" <<CONF
[containers]
default_ulimits = ["${limits[0]}", "${limits[1]}"]
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
CONF
podman image exists "$base" || step "debootstrap (Docker's hub has this)" debian

# Whoever has a certificate of their own for PyPI lends it to the build; the image does not keep it.
pip=()
if [ -n "${PIP_CERT:-}" ]; then
  printf '[global]\ncert = /run/pip.crt\n' >"$folder/pip.conf"
  pip=(--volume "$folder/pip.conf:/etc/pip.conf:ro" --volume "$(realpath "$PIP_CERT"):/run/pip.crt:ro")
fi
step "podman build" podman build --pull=never --no-cache --network host --isolation oci "${limits[@]/#/--ulimit=}" \
  "${pip[@]}" -f "$here/Dockerfile" -t "$image" "$project"
podman image prune --force >/dev/null
podman image inspect --format '{{.Size}}' "$image" | awk '{printf "%-44s %6.2f GB\n", "image", $1 / 1e9}'
