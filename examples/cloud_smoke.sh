#!/usr/bin/env bash
# A paid test of a real cloud: makes a farm with its Manager in the cloud, renders a scene on its machines, ends one of
# them in the middle, stops and starts the Manager, removes everything, proves it by listing, and prints the bill.
# Stops at SMOKE_USD dollars or after SMOKE_MINUTES; whatever happens, it removes what it made.
#
#   cloud_smoke.sh PROVIDER SCENE [ADDRESS]
#
# PROVIDER: as in `blendnet cloud doctor --provider`; without ADDRESS one that makes Managers: aws, gcp.
# ADDRESS: the Manager runs on this machine, and that is where the cloud's machines reach it.
# SMOKE_USD: most that it may cost, in dollars [2]. SMOKE_MINUTES: most that it may take [90].
# SMOKE_LOOK_S: seconds between two looks at the farm [5].
# SMOKE_DATA: its data folder [a temporary one]; a farm that is there already is not touched, and it ends.
# Every BLENDNET_... setting counts, as BLENDNET_CLOUD_REGION, BLENDNET_CLOUD_OPTIONS, BLENDNET_FLEET_MACHINES,
# BLENDNET_PUBLIC_ADDRESSES, BLENDNET_WORKER_BUNDLE. It needs `blendnet` and `jq`.
set -euo pipefail

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p;}' "$0" >&2; exit 2; }

case $# in 2 | 3) ;; *) usage ;; esac
provider=$1 scene=$2 address=${3-}
data=${SMOKE_DATA:-$(mktemp -d)} minutes=${SMOKE_MINUTES:-90}
export BLENDNET_DATA=$data BLENDNET_FLEET_PROVIDER=$provider BLENDNET_CLOUD_PROVIDER=$provider
export BLENDNET_FLEET_MAX=${BLENDNET_FLEET_MAX:-2} BLENDNET_FLEET_IDLE_S=${BLENDNET_FLEET_IDLE_S:-60}
export BLENDNET_CAP_FARM_USD=${SMOKE_USD:-2}
bill=

say() { printf '\n== %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
remains() { blendnet cloud remains --json | jq -r '.there[]'; }
state() { blendnet job list --json | jq -r --arg job "$job" '.[] | select(.id == $job) | .state'; }

# between_looks WHAT: wait a little, unless it has taken too long already.
between_looks() {
  [ "$SECONDS" -lt $((60 * minutes)) ] || fail "$1 took longer than SMOKE_MINUTES ($minutes)"
  sleep "${SMOKE_LOOK_S:-5}"
}

remove_farm() {
  if [ -n "$address" ]; then
    blendnet down || true
    blendnet cloud remove --yes
  else
    blendnet cloud destroy --yes
  fi
}

finish() {
  local status=$? left
  trap - EXIT INT TERM
  say "removing everything"
  remove_farm || status=1
  if left=$(remains) && [ -z "$left" ]; then
    say "nothing of the farm is left in the account"
  else
    say "NOT everything is removed ($left). Look now:  BLENDNET_DATA=$data blendnet cloud remains --provider $provider"
    status=1
  fi
  [ -z "$bill" ] || printf '\n%s\n' "$bill"
  exit "$status"
}

say "checking $provider"
blendnet cloud doctor
already=$(remains) # Where nobody can say, it ends here.
[ -z "$already" ] || fail "there is a farm of $data already: this test would remove it"
trap finish EXIT
trap 'exit 130' INT TERM
say "making a farm that may cost $BLENDNET_CAP_FARM_USD USD"
if [ -n "$address" ]; then
  blendnet cloud prepare
  blendnet up --agents 0 --listen "$address"
else
  blendnet cloud up --yes
fi
job=$(blendnet job submit "$scene" --cap "$BLENDNET_CAP_FARM_USD" --json | jq -r .job)

# end_one: end a machine in the middle of its work; one that is done, and gone, by then does not count.
end_one() {
  local victim
  victim=$(blendnet agent list --json | jq -er '[.[] | select(.state == "busy")][0].name') || return 1
  say "ending $victim in the middle of its work"
  blendnet agent remove "$victim"
}

say "waiting for a machine that renders"
until end_one; do
  now=$(state)
  case $now in
    queued | active) ;;
    completed) fail "job $job was completed before a machine could be ended: take a scene that renders longer" ;;
    *) fail "job $job is $now, and no machine was seen to render it" ;;
  esac
  blendnet fleet >&2
  between_looks "waiting for a machine"
done
say "waiting until job $job is completed"
until now=$(state) && [ "$now" = completed ]; do
  case $now in
    queued | active | '') ;; # '': the Manager does not answer just now.
    *) fail "job $job is $now" ;;
  esac
  between_looks "rendering"
done
blendnet job download "$job" --output "$data/pictures"

say "waiting until every agent's machine is gone"
until [ "$(blendnet fleet --json | jq '.machines | length')" = 0 ]; do between_looks "ending machines"; done

if [ -z "$address" ]; then
  say "stopping the Manager, and starting it again"
  blendnet cloud stop --yes
  blendnet cloud start
  [ "$(state)" = completed ] || fail "the Manager does not know job $job any more"
fi
say "the pictures are in $data/pictures"
bill=$(blendnet costs)
