#!/usr/bin/env bash
# Installs the Blender builds of a list, and refuses those whose hash is another than there.
#   blenders.sh BLENDNET FOLDER [LIST]
# BLENDNET: the blendnet command. FOLDER: where builds go. LIST: as blenders.txt beside this script.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
blendnet=$1
folder=$2
list=${3:-$here/blenders.txt}

while read -r version kind sha256 from rest || [ -n "$version" ]; do
  case "$version" in '' | \#*) continue ;; esac
  if ! [[ "$sha256" =~ ^[0-9a-f]{64}$ ]] || [ -n "$rest" ]; then
    echo "$list: the line of Blender $version is not: VERSION wheel|archive SHA256 LOCK|URL" >&2
    exit 1
  fi
  case "$kind" in
    wheel) how=(--lock "$here/$from") ;;
    archive) how=(--url "$from") ;;
    *)
      echo "$list: Blender $version is a wheel or an archive, not a $kind" >&2
      exit 1
      ;;
  esac
  BLENDNET_BLENDERS_DIR=$folder "$blendnet" blender install "$version" --sha256 "$sha256" "${how[@]}" </dev/null
done <"$list"
