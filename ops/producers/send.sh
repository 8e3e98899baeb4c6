#!/bin/sh
# Send an image job with redis-cli, follow its events, and print its outcome.
# REDIS_URL=redis://127.0.0.1:6379/0 sh send.sh '{"modelID": "nanobanana", "prompt": "A quiet harbour at dawn"}'
set -eu

redis() { redis-cli --no-auth-warning -u "${REDIS_URL:-redis://127.0.0.1:6379/0}" -e "$@"; }
names=${PHOTOGPT_NAMESPACE:-photogpt}

# Accepted once XADD has printed an id. Without an id of our own, the job is named after the entry.
entry=$(redis XADD "$names:inbox" '*' job "{\"v\": 1, \"kind\": \"image\", \"request\": $1}")
job="$names:job:{inbox-$entry}"

# An event is printed as lines: its id, then names and values in turn. The last event has the outcome in `data`.
last=0-0
outcome=
while [ -z "$outcome" ]; do
    events=$(redis XREAD BLOCK 2000 STREAMS "$job:events" "$last")
    if [ -z "$events$(redis XRANGE "$names:inbox" "$entry" "$entry")" ] && [ "$(redis EXISTS "$job")" = 0 ]; then
        echo "rejected: photogpt-worker rejected shows why" >&2
        exit 1
    fi
    last=$(printf '%s\n' "$events" | grep -E '^[0-9]+-[0-9]+$' | tail -n 1 | grep . || echo "$last")
    printf '%s\n' "$events" | grep -E '^(job|model)\.[a-z]+$' || true
    outcome=$(printf '%s\n' "$events" | sed -n '/^data$/{n;p;}')
done

echo "record: $(redis HGET "$job" state)"
printf '%s\n' "$outcome"
