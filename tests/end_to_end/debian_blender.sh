#!/bin/sh
# Makes FOLDER/blender the Blender of another Debian: debian_blender.sh SUITE FOLDER, as root.
#
# The system of that Debian lies in FOLDER/root. FOLDER/blender shows it to Blender alone: a mount namespace of its own
# has /usr and /etc from there and everything else from this machine, under the same paths. So this machine can use the
# program as one that is installed here. Nothing is mounted outside: the folder may be removed at any time.
set -eu

suite=$1
mkdir -p "$2"
folder=$(cd "$2" && pwd)
root=$folder/root
mirror=${BLENDNET_DEBIAN_MIRROR:-http://deb.debian.org/debian}
packages="blender libgl1-mesa-dri"

command -v debootstrap >/dev/null || {
  echo "Run first:  sudo apt-get install debootstrap" >&2
  exit 1
}
[ "$(id -u)" = 0 ] || {
  echo "Another Debian's Blender is made and started as root only. Run:  sudo make matrix" >&2
  exit 1
}

if [ ! -e "$folder/.base" ]; then
  echo "Making Debian $suite in $root ..." >&2
  rm -rf "$root"
  mkdir -p "$folder/packages"
  debootstrap --variant=minbase --merged-usr --cache-dir="$folder/packages" "$suite" "$root" "$mirror" \
    >"$folder/making.log" 2>&1 || { tail -n 20 "$folder/making.log" >&2; exit 1; }
  touch "$folder/.base"
fi

if [ ! -e "$folder/.blender" ]; then
  echo "Installing its Blender ..." >&2
  # shellcheck disable=SC2016 # The inner shell has the arguments.
  # Packages that are here already are not fetched again when this was interrupted.
  unshare --mount --fork sh -eu -c '
    mount -t proc proc "$1/proc"
    export DEBIAN_FRONTEND=noninteractive
    cd "$1"
    chroot "$1" dpkg --configure -a
    chroot "$1" apt-get -qq update
    exec chroot "$1" apt-get -qq install -y --no-install-recommends $2
  ' sh "$root" "$packages" >>"$folder/making.log" 2>&1 || { tail -n 20 "$folder/making.log" >&2; exit 1; }
  rm -rf "$folder/packages" "$root"/var/cache/apt/archives/*.deb
  touch "$folder/.blender"
fi

# The program has the path of this script, so Blender tells others a path by which they can start it.
cat >"$folder/blender.new" <<SCRIPT
#!/bin/sh
exec unshare --mount --propagation private sh -eu -c '
  mount --bind "\$1/usr/bin/blender" "\$0"
  mount --bind "\$1/etc" /etc
  mount --bind "\$1/usr" /usr
  shift
  exec "\$0" "\$@"
' "$folder/blender" "$root" "\$@"
SCRIPT
chmod +x "$folder/blender.new"
mv "$folder/blender.new" "$folder/blender"
