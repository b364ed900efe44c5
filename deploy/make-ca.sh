#!/usr/bin/env bash
# A private certificate authority for the way to Redis: its own certificate, Redis', and one per client.
#
#   deploy/make-ca.sh FOLDER [NAME...]
#
# NAME: DNS names and IP addresses under which clients know Redis; `redis` and 127.0.0.1 if there are none. Makes
# ca.crt, ca.key, redis.crt, redis.key and <client>.crt, <client>.key for collector, validator, broadcaster and admin.
# What is there stays, so that a run adds what is missing: to renew a certificate delete it and its key. Keep ca.key
# away from the services. Days: 3650 for the authority, 90 for the others (DAYS=…).
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,9p' "$0" >&2; exit 2; }
folder=$1
shift
[ $# -gt 0 ] || set -- redis 127.0.0.1
days=${DAYS:-90}
mkdir -p "$folder"
cd "$folder"
umask 077

key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
quiet() { local said; said=$("$@" 2>&1) || { printf '%s\n' "$said" >&2; return 1; }; }

if [ ! -e ca.crt ]; then
  quiet openssl req -x509 "${key[@]}" -keyout ca.key -out ca.crt -days 3650 -subj "/O=Oracle State Synchronizer/CN=OSS Redis CA" \
    -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign
fi

certificate() { # certificate NAME USAGE ALTERNATIVE_NAMES
  [ ! -e "$1.crt" ] || return 0
  quiet openssl req "${key[@]}" -keyout "$1.key" -out "$1.csr" -subj "/O=Oracle State Synchronizer/CN=$1"
  printf '%s\n' 'basicConstraints=critical,CA:FALSE' 'keyUsage=critical,digitalSignature' "extendedKeyUsage=$2" \
    "subjectAltName=$3" >"$1.ext"
  quiet openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days "$days" -extfile "$1.ext" -out "$1.crt"
  rm -f "$1.csr" "$1.ext"
}

names=
for name; do
  if [[ $name =~ ^[0-9.]+$|: ]]; then names+=",IP:$name"; else names+=",DNS:$name"; fi
done
certificate redis serverAuth "${names#,}"
for client in collector validator broadcaster admin; do certificate "$client" clientAuth "DNS:$client"; done
chmod 644 ./*.crt
