#!/usr/bin/env bash
# Makes the bundle from which machines become workers: the project as a wheel, its locked requirements, this folder.
#   bundle.sh [OUTPUT]      [default: build/blendnet-bundle.tar.gz]
# Of the last commit, and the same bytes for it every time. Prints the SHA-256.
set -euo pipefail

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
output=${1:-$project/build/blendnet-bundle.tar.gz}
python=${PYTHON:-python3}

cd "$project"
[ -z "$(git status --porcelain -- blendnet worker_image setup.cfg pyproject.toml requirements.lock requirements-manager.lock)" ] ||
  echo "bundle: changes that are not committed are not in it" >&2
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
umask 022
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir "$work/source" "$work/bundle"
git -c tar.umask=0022 archive HEAD | tar -x -C "$work/source"
PIP_CONSTRAINT=$work/source/worker_image/build.txt "$python" -m pip wheel --quiet --no-deps --no-cache-dir \
  --disable-pip-version-check --wheel-dir "$work/bundle" "$work/source"
cp -R "$work/source/requirements.lock" "$work/source/requirements-manager.lock" "$work/source/worker_image" "$work/bundle/"
cp "$work/source/docs/worker-image.md" "$work/bundle/worker_image/"

mkdir -p "$(dirname "$output")"
tar --create --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=gnu \
  -C "$work/bundle" . | gzip --no-name --best >"$output.new"
mv "$output.new" "$output"
sha256sum "$output"
