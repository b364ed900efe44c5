#!/usr/bin/env bash
# Kills one collector, one broadcaster and the leading validator of a compose deployment under load, and says what became of it.
#
#   scripts/compose-kills.sh [REQUESTS]   500 if left out, on a tenth as many assets, each asking a source
#
# A compose project and volumes of its own, which are removed at the end (KEEP=1 leaves them). Kills are `kill -9` of the
# containers' processes by their host pid: run it as root. Load goes to 127.0.0.1:18080 (PORT=N for another one, the chains'
# ports follow it). One line per verdict; the exit code is the number of those that are bad.
#
# Which of the validators' roots are equal is asked of each one alone: `oss verify log --url http://<container>:8081`, run in the
# project's network, computes a shard's log again as that validator serves it and compares the end with its /v1/shards.
set -euo pipefail
cd "$(dirname "$0")/.."

requests=${1:-500} assets=$(((${1:-500} + 9) / 10))
port=${PORT:-18080}
export COMPOSE_PROJECT_NAME=oss-kills
export KILLS_PORT=$port KILLS_PORT_BASE=$((port + 1)) KILLS_PORT_ARBITRUM=$((port + 2)) KILLS_PORT_OPTIMISM=$((port + 3))
testkit=${OSS_BIN_DIR:-${CARGO_TARGET_DIR:-target}/debug}/testkit
[ -x "$testkit" ] || { echo "build it first: cargo build -p testkit" >&2; exit 1; }
compose() { docker compose -f docker-compose.yml -f deploy/compose-kills.yml "$@"; }

work=$(mktemp -d)
driver=
stop() {
  [ -z "$driver" ] || kill "$driver" 2>/dev/null || true
  [ -n "${KEEP:-}" ] || compose down -v --remove-orphans >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap stop EXIT

bad=0
verdict() { # verdict WORDS COMMAND... : one line, good if the command succeeds
  local words=$1
  shift
  if "$@" >"$work/said" 2>&1; then echo "ok    $words"; else echo "BAD   $words"; sed 's/^/      /' "$work/said"; bad=$((bad + 1)); fi
}
containers() { compose ps -q "$1"; }
health() { docker inspect -f '{{.State.Health.Status}}' "$1"; }
key() { compose exec -T collector collector print-dev-key --scope "$1"; }
within() { # within SECONDS COMMAND... : again and again
  local until=$((SECONDS + $1))
  shift
  until "$@"; do [ $SECONDS -lt $until ] || return 1; sleep 1; done
}
leader() {
  local id
  for id in $(containers validator); do
    [ "$(readyz "$id")" = 200 ] && { echo "$id"; return 0; }
  done
  return 1
}
# The services' images have no shell: the proxy's has one, and is in their network.
readyz() { # readyz CONTAINER : the status of its /readyz
  compose exec -T proxy bash -c 'exec 3<>"/dev/tcp/$0/9081"; printf "GET /readyz HTTP/1.0\r\n\r\n" >&3; read -r _ status _ <&3; echo "$status"' "${1:0:12}" 2>/dev/null
}
kill_one() { # kill_one CONTAINER WORDS
  kill -9 "$(docker inspect -f '{{.State.Pid}}' "$1")"
  echo "      killed $2 ${1:0:12} after $(sent) requests"
}
sent() { sed -n 's/^drive: sent //p' "$work/drive" | tail -1; }
has_sent() { [ "$(sent)" != "" ] && [ "$(sent)" -ge "$1" ]; }

compose up -d --wait ${BUILD:+--build} --scale validator=1 >"$work/up" 2>&1 || { cat "$work/up" >&2; exit 1; }
for scope in submit read operate regulate; do key "$scope" >"$work/$scope"; done
printf '{"submit":"%s","read":"%s","operate":"%s","regulate":"%s"}' \
  "$(cat "$work/submit")" "$(cat "$work/read")" "$(cat "$work/operate")" "$(cat "$work/regulate")" >"$work/keys.json"
compose cp collector:/config/targets.json "$work/targets.json" >/dev/null 2>&1
drive() { # drive REQUESTS ASSETS
  "$testkit" drive --url "http://127.0.0.1:$port" --keys "$work/keys.json" --targets "$work/targets.json" \
    --chain "base=http://127.0.0.1:$KILLS_PORT_BASE" --chain "arbitrum=http://127.0.0.1:$KILLS_PORT_ARBITRUM" \
    --chain "optimism=http://127.0.0.1:$KILLS_PORT_OPTIMISM" --requests "$1" --assets "$2"
}

# A second validator begins with an empty folder, and Redis does not have the beginning of the log any more.
verdict "20 requests are completed with one of each" drive 20 8
compose up -d --wait --no-recreate --scale collector=3 --scale broadcaster=2 --scale validator=2 >"$work/up" 2>&1 \
  || { cat "$work/up" >&2; exit 1; }
standby() { local id; for id in $(containers validator); do [ "$(readyz "$id")" = 503 ] && [ "$(health "$id")" = healthy ] && return 0; done; return 1; }
verdict "a second validator with an empty folder has caught up and stands by" within 60 standby

drive "$requests" "$assets" >"$work/drive" 2>&1 &
driver=$!
within 120 has_sent $((requests / 5)) || { cat "$work/drive" >&2; exit 1; }
kill_one "$(containers collector | head -1)" "a collector"
within 120 has_sent $((requests * 2 / 5)) || true
kill_one "$(containers broadcaster | head -1)" "a broadcaster"
within 120 has_sent $((requests * 3 / 5)) || true
led=$(leader) || { echo "nobody leads" >&2; exit 1; }
kill_one "$led" "the leading validator"
code=0
wait "$driver" || code=$?
driver=
finished() { cat "$work/drive"; return "$code"; }
verdict "all $requests requests on $assets assets are completed; log, answers and versions on three chains agree" finished
sed 's/^/      /' "$work/drive" | grep -v 'drive: sent' || true

# Every process that was a collector has said its name once.
compose logs --no-log-prefix collector 2>/dev/null | sed -n 's/.*"The collector is up".*"instance":"\([^"]*\)".*/\1/p' | sort -u >"$work/collectors"
by=$(sed -n 's/^by //p' "$work/drive")
named() { local name; while read -r name; do case $by in *"$name"*) ;; *) echo "$name is in no record: $by"; return 1 ;; esac; done <"$work/collectors"; }
verdict "the records name every collector: $(tr '\n' ' ' <"$work/collectors")" named

mapfile -t validators < <(containers validator)
follows() { [ "$(health "$1")" = healthy ]; }
for id in "${validators[@]}"; do verdict "validator ${id:0:12} leads or stands by" within 60 follows "$id"; done
for shard in financial gaming real_estate general; do
  for id in "${validators[@]}"; do
    compose run --rm --no-deps -T init --quiet -o json --url "http://${id:0:12}:8081" --api-key "$(cat "$work/operate")" \
      verify log --shard "$shard" >"$work/$shard-${id:0:12}" 2>"$work/$shard-${id:0:12}.err" || true
  done
  same() { # what each validator serves is the fold of its log, and both stand at one place
    python3 - "$@" <<'PY'
import json, sys
said = [json.load(open(name)) for name in sys.argv[1:]]
assert len(said) == 2, said
assert all(one["equal"] for one in said), said
fields = ("entries", "head", "root", "aux")
assert len({tuple(one[field] for field in fields) for one in said}) == 1, said
PY
  }
  verdict "roots of $shard are equal on both validators, and each log computes to them" \
    same "$work/$shard-${validators[0]:0:12}" "$work/$shard-${validators[1]:0:12}"
done
exit "$bad"
