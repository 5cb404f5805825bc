# shellcheck shell=bash
# Read by measure.sh and container.sh.

# Runs a command and prints how long it took: step NAME COMMAND... What the command says goes to stderr.
step() {
  local name=$1 from status=0
  shift
  from=$(date +%s.%N)
  "$@" >&2 || status=$?
  awk -v a="$from" -v b="$(date +%s.%N)" -v n="$name" 'BEGIN {printf "%-44s %6.1f s\n", n, b - a}'
  return "$status"
}
