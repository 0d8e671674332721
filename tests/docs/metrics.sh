#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# metrics.sh PROMTOOL INSTANCERD: what the daemon exports is as Prometheus wants it, and so are the alert rules.
set -euo pipefail
promtool=$1 daemon=$2
packaging=$(cd "$(dirname "$0")/../../apps/instancerd/packaging" && pwd)
if ! command -v "$promtool" >/dev/null; then
    echo "Skipped: there is no promtool (tests/run fetches it)"
    exit 77
fi
dir=$(mktemp -d)
"$daemon" exec --listen "unix:$dir/service" --metrics "unix:$dir/metrics" -- /bin/cat 2>"$dir/log" &
trap 'kill "$!" 2>/dev/null; wait; rm -rf "$dir"' EXIT
for _ in $(seq 100); do
    [ ! -S "$dir/service" ] || [ ! -S "$dir/metrics" ] || break
    sleep 0.1
done
python3 -c 'import socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
client.sendall(b"hello")
assert client.recv(5) == b"hello"' "$dir/service"
curl -sSf --unix-socket "$dir/metrics" http://localhost/metrics >"$dir/metrics.txt" || { cat "$dir/log"; exit 1; }
"$promtool" check metrics <"$dir/metrics.txt"
"$promtool" check rules "$packaging/alerts.yml"
