#!/usr/bin/env bash
# Ends this machine when its Manager has not answered for BLENDNET_SILENCE_S, or it is up for BLENDNET_LIFETIME_S.
# Run every minute by blendnet-self-destruct.timer. The last line of defence against a bill that nobody watches: it
# needs neither the agent, nor Python, nor the right time of day.
set -euo pipefail

lifetime_s=${BLENDNET_LIFETIME_S:-86400}
silence_s=${BLENDNET_SILENCE_S:-900}
heard_file=${BLENDNET_HEARD_FILE:-/run/blendnet/heard}
note=${BLENDNET_WATCH_NOTE:-/run/blendnet-heard-at}
uptime_file=${BLENDNET_UPTIME_FILE:-/proc/uptime}

end() {
  echo "this machine ends itself: $1"
  systemctl --no-block poweroff
  exit 0
}

read -r up_s _ <"$uptime_file"
up_s=${up_s%%.*}

# When the file was touched is the clock's opinion, which jumps; that it was touched since the last look is a fact.
heard=$(stat -c %y "$heard_file" 2>/dev/null || echo never)
since_s=$up_s
before=
if [ -r "$note" ]; then
  { read -r since_s && read -r before; } <"$note" || { since_s=$up_s before=; }
fi
if [ "$heard" != "$before" ] || ! [[ "$since_s" =~ ^[0-9]+$ ]] || [ "$since_s" -gt "$up_s" ]; then
  since_s=$up_s
fi

if [ "$up_s" -ge "$lifetime_s" ]; then
  end "it is up for $up_s s, and may be for $lifetime_s s"
fi
if [ $((up_s - since_s)) -ge "$silence_s" ]; then
  end "its Manager is silent for $((up_s - since_s)) s, and may be for $silence_s s"
fi
# At the end: where there is no room for it, the machine ends nevertheless.
printf '%s\n%s\n' "$since_s" "$heard" >"$note.new"
mv "$note.new" "$note"
