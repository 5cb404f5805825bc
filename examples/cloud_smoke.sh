#!/usr/bin/env bash
# A paid test of a real cloud: prepares an account, renders a scene on its machines, ends one of them in the middle,
# removes everything, and prints the bill. Stops at SMOKE_USD dollars; whatever happens, it removes what it made.
#
#   cloud_smoke.sh PROVIDER SCENE ADDRESS
#
# PROVIDER: as in `blendnet cloud doctor --provider`. ADDRESS: of this machine, where the cloud's machines reach it.
# SMOKE_USD: most that it may cost, in dollars [2]. SMOKE_DATA: its data folder [a temporary one].
# Every BLENDNET_... setting counts, as BLENDNET_CLOUD_REGION, BLENDNET_CLOUD_OPTIONS, BLENDNET_FLEET_MACHINES,
# BLENDNET_PUBLIC_ADDRESSES, BLENDNET_WORKER_BUNDLE. It needs `blendnet` and `jq`.
set -euo pipefail

[ $# = 3 ] || { sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2; }
provider=$1 scene=$2 address=$3
data=${SMOKE_DATA:-$(mktemp -d)}
export BLENDNET_DATA=$data BLENDNET_FLEET_PROVIDER=$provider BLENDNET_CLOUD_PROVIDER=$provider
export BLENDNET_FLEET_MAX=${BLENDNET_FLEET_MAX:-2} BLENDNET_CAP_FARM_USD=${SMOKE_USD:-2}

say() { printf '\n== %s\n' "$*" >&2; }

finish() {
  local status=$?
  trap - EXIT INT TERM
  say "removing everything"
  blendnet down || true
  if ! blendnet cloud remove --yes; then
    say "NOT everything is removed. Look now:  BLENDNET_DATA=$data blendnet cloud remains --provider $provider"
    status=1
  fi
  exit "$status"
}

say "checking $provider"
blendnet cloud doctor
trap finish EXIT INT TERM
say "preparing the account"
blendnet cloud prepare

say "starting a farm that may cost $BLENDNET_CAP_FARM_USD USD"
blendnet up --agents 0 --listen "$address"
job=$(blendnet job submit "$scene" --cap "$BLENDNET_CAP_FARM_USD" --json | jq -r .job)

say "waiting for a machine that renders"
until victim=$(blendnet agent list --json | jq -er '[.[] | select(.state == "busy")][0].name'); do
  blendnet fleet >&2
  sleep 5
done

say "ending $victim in the middle of its work"
blendnet agent remove "$victim"
blendnet job wait "$job"
blendnet job download "$job" --output "$data/pictures"

say "waiting until every machine is gone"
until [ "$(blendnet fleet --json | jq '.machines | length')" = 0 ]; do sleep 5; done
say "the pictures are in $data/pictures; the bill:"
blendnet costs
