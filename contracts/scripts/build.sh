#!/bin/sh
# Compiles the contracts and writes artifacts/<Contract>.json. The same sources give the same bytes on any machine.
# With an argument the artifacts go to that folder instead. Needs node and npm (Linux x64); nothing else is installed.
set -eu
cd "$(dirname "$0")/.."
target=${1:-artifacts}

[ -f node_modules/.package-lock.json ] && [ node_modules/.package-lock.json -nt package-lock.json ] ||
    npm ci --no-audit --no-fund >&2

# A build of its own, of the sources alone: what else is compiled beside them must not matter.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
node_modules/.bin/forge build --offline --force --skip test --out "$work/out" --cache-path "$work/cache" >&2
node scripts/artifacts.cjs "$work/out" "$target"
