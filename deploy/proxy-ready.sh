#!/bin/bash
# Exits 0 when a request through the proxy reaches each of the three services: any answer of their own will do, an
# answer that a key is missing too. Needs bash alone, because the proxy's image has no HTTP client.
# Usage: proxy-ready.sh [PORT]
port=${1:-8080}
for path in /openapi.json /v1/shards /v1/targets; do
    exec 3<>"/dev/tcp/127.0.0.1/$port" || exit 1
    printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$path" >&3
    read -r -t 2 line <&3 || exit 1
    case $line in
        'HTTP/1.'?' 2'* | 'HTTP/1.'?' 4'*) ;;
        *) printf '%s: %s\n' "$path" "$line"; exit 1 ;;
    esac
    exec 3>&-
done
