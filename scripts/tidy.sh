#!/usr/bin/env bash
# House rules that no compiler checks. Prints every breach and fails if there is one.
set -uo pipefail
cd "$(dirname "$0")/.."
breaches=0
breach() { printf 'tidy: %s\n' "$*" >&2; breaches=$((breaches + 1)); }

sources() { git ls-files --cached --others --exclude-standard "$@"; }

# A file reads in one go: at most 400 lines, unless its head gives the reason ("Length:").
while read -r file; do
  lines=$(wc -l <"$file")
  [ "$lines" -le 400 ] || head -n 30 "$file" | grep -q 'Length:' || breach "$file has $lines lines (400 at most, or a 'Length:' reason in its head)"
done < <(sources '*.rs' '*.sol' | grep -vE '(^|/)tests?(/|\.rs$)|/benches/')

# A Rust file says what it is before anything else; tests speak by their names.
while read -r file; do
  head -n 1 "$file" | grep -q '^//!' || breach "$file has no module head"
done < <(sources 'crates/*/src/*.rs' | grep -vE '(^|/)tests(/|\.rs$)')

reject() { # reject WHY PATTERN PATHSPEC...
  local why=$1 pattern=$2; shift 2
  while IFS= read -r hit; do breach "$why: $hit"; done < <(git grep -nIE --untracked "$pattern" -- "$@" ':!scripts/tidy.sh')
}
reject 'mod.rs (use foo.rs + foo/)' '^' '*/mod.rs'
reject 'glob re-export' '^ *pub(\([a-z]+\))? use .*::\*;' 'crates/*.rs'
reject 'unfinished code' '\b(todo!|unimplemented!|dbg!)\(' '*.rs'
reject 'ignored test' '#\[ignore' '*.rs'
reject 'allow instead of expect' '#!?\[allow\(' '*.rs'
reject 'a path of one machine' '(^|[^A-Za-z0-9_.])/(work|root|home/[a-z]+)/' . ':!*.lock' ':!deploy/*' ':!docker-compose.yml'
reject 'a package registry by name' '(registry\.npmjs|crates\.io/|static\.crates|pypi\.org|deb\.debian\.org)' . ':!Cargo.lock'

# Redis' network is named three times: by Redis, by what the three services have in common, and by the doctor, which nobody
# starts but a person.
in_data=$(awk '/^(x-)?[a-z-]+: ?.*&service|^  [a-z-]+:$/ { name = $1 } /^ +networks: .*[^a-z]data[^a-z]/ { printf "%s ", name }' docker-compose.yml)
doctor=$(sed -n '/^  doctor:$/,/^$/p' docker-compose.yml)
[ "$in_data" = 'x-service: redis: doctor: ' ] && grep -qx '    profiles: \[tools\]' <<<"$doctor" || breach "docker-compose.yml: another service is in Redis' network"

# With two validators the name `validator` means a standby as well; only the proxy knows the one that leads.
grep -qE '^ +OSS__VALIDATORS: http://proxy:8080$' docker-compose.yml || breach "docker-compose.yml: collectors ask the validators past the proxy"

# The order of the data path: one file per step, and the binaries' spine is the same everywhere.
for service in collector validator broadcaster; do
  for part in main config service pipeline http metrics error; do
    [ -e "crates/$service/src/$part.rs" ] || breach "crates/$service/src/$part.rs is missing from the spine"
  done
done

[ "$breaches" = 0 ] || { printf 'tidy: %s breaches\n' "$breaches" >&2; exit 1; }
