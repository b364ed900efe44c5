#!/bin/sh
# Everything that must hold of this folder: format, artifacts byte for byte, vectors byte for byte, tests, gas, and that
# the tests notice when a guard of the apply rule or of the signatures is missing.
# Exits non-zero at the first difference. `check.sh --update` writes artifacts, vectors and the gas snapshot anew instead.
set -eu
cd "$(dirname "$0")/.."
update=${1:-}
if [ "$update" = --update ]; then
    scripts/build.sh
    node scripts/vectors.cjs
    node_modules/.bin/forge snapshot --isolate --match-contract GasTest --snap .gas-snapshot
    exit 0
fi

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
scripts/build.sh "$fresh/artifacts"
node_modules/.bin/forge fmt --check
diff -r artifacts "$fresh/artifacts" || { echo 'artifacts differ from the sources: run scripts/check.sh --update' >&2; exit 1; }
node scripts/vectors.cjs "$fresh"
diff -r test/vectors "$fresh/vectors" || { echo 'vectors differ from their generator' >&2; exit 1; }
node_modules/.bin/forge test --offline --no-match-contract GasTest
# Gas may move by two per cent before somebody has to look.
node_modules/.bin/forge snapshot --isolate --match-contract GasTest --snap .gas-snapshot --check --tolerance 2
# Every mutant must fit its source, or running them all (minutes, see README) would prove nothing.
node scripts/mutants.cjs --quick
