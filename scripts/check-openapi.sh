#!/usr/bin/env bash
# Asks a stack of its own everything that its OpenAPI description allows, and much that it does not: no answer may be a 5xx,
# and none may be one that the description does not have (status, media type, headers, form of the body).
#
#   scripts/check-openapi.sh [EXAMPLES]   generated test cases per operation, 30 if left out
#
# The same seed asks the same questions. Needs the binaries (make unit builds them; OSS_BIN_DIR names another folder),
# redis-server, anvil and schemathesis (scripts/bootstrap.sh schema). The endless streams are left out.
set -euo pipefail
cd "$(dirname "$0")/.."

examples=${1:-30} seed=20260101
bin=${OSS_BIN_DIR:-${CARGO_TARGET_DIR:-target}/debug}
schemathesis=$PWD/.tools/schemathesis/bin/schemathesis
export PYTHONDONTWRITEBYTECODE=1
checks=not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance
hooks=$PWD/scripts/openapi/hooks.py
parts() { python3 scripts/openapi/parts.py "$@"; }
work=$(mktemp -d)
stack=
stop() {
  [ -z "$stack" ] || { kill -TERM "$stack" 2>/dev/null; wait "$stack" 2>/dev/null || true; }
  rm -rf "$work"
}
trap stop EXIT

"$bin/oss" up --data "$work/oss" -o json >"$work/up.json" 2>"$work/up.log" &
stack=$!
for _ in $(seq 240); do
  [ -s "$work/up.json" ] && break
  kill -0 "$stack" 2>/dev/null || break
  sleep 0.5
done
[ -s "$work/up.json" ] || { echo "the stack did not start:" >&2; cat "$work/up.log" >&2; exit 1; }

parts_of() { parts said "$work/up.json" "$@"; }
curl -sSf "$(parts_of collector)/openapi.json" -o "$work/openapi.json"
parts split "$work/openapi.json" "$work"
# What there is to be asked for: an asset with a holding, its requests, one that was rejected, one that can be undone, a checkpoint.
cp examples/bond-register.json "$work/register.json"
cp examples/bond-mint.json "$work/mint.json"
echo '{"asset": {"id": "bond:none"}, "state_changes": [{"kind": "MINT", "to": "acct:a", "amount": "1"}]}' >"$work/none.json"
echo '{"asset": {"id": "bond:undo"}, "state_changes": [{"kind": "REGISTER", "decimals": 0, "chains": ["base"]}]}' >"$work/undo.json"
for name in register mint none undo; do
  # A rejected request ends with another code.
  "$bin/oss" --data "$work/oss" -o json --quiet submit "$work/$name.json" --key "$name-1" --until completed >"$work/$name.said" || true
done
curl -sSf -X POST -H "Authorization: Bearer $(parts_of keys operate)" "$(parts_of validator)/v1/checkpoints?shard=financial" -o "$work/checkpoint.said"
parts known "$work"

failed=0
ask() { # ask OWNER SCOPE
  local owner=$1 token url
  token=$(parts_of keys "$2") url=$(parts_of "$owner")
  # It leaves a folder where it runs.
  (cd "$work" && exec env SCHEMATHESIS_HOOKS="$hooks" OSS_OPENAPI_KNOWN="$work/known.json" OSS_OPENAPI_TALLY="$work/$owner.tally" \
    OSS_OPENAPI_URL="$url" OSS_OPENAPI_TOKEN="$token" \
    "$schemathesis" run "$work/$owner.json" --url "$url" -H "Authorization: Bearer $token" \
    --checks "$checks" --phases examples,coverage,fuzzing --max-examples "$examples" --seed "$seed" --request-timeout 40 \
    --continue-on-failure --no-color --warnings off) >"$work/$owner.out" 2>&1 || { failed=1; cat "$work/$owner.out"; }
  parts tally "$work/$owner.json" "$work/$owner.tally" "$owner" || failed=1
}
ask collector submit
ask validator operate
ask broadcaster operate
[ "$failed" != 0 ] || echo "check-openapi: no 5xx, no answer that is not in the description"
exit "$failed"
