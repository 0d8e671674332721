#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# schemathesis.sh INSTANCERD DIR: asks a real daemon whatever its OpenAPI document allows, and more, and compares its
# answers with that document.
set -euo pipefail
instancerd=$1 dir=$2
skip() {
    echo "Skipped: $1"
    exit 77
}
rm -rf "$dir"
mkdir -p "$dir"
venv=$dir-venv
if ! "$venv/bin/schemathesis" --version 2>/dev/null | grep -q 4.32.5; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --retries 1 'schemathesis==4.32.5' >"$dir/pip.log" 2>&1 ||
        skip "schemathesis cannot be had from PyPI: $(tail -n 1 "$dir/pip.log")"
fi
token=0123456789abcdef
(umask 077; echo "$token" >"$dir/token")
"$instancerd" exec --admin 127.0.0.1:0 --admin-token-file "$dir/token" --listen 127.0.0.1:0 -- /bin/cat \
    >"$dir/log" 2>&1 &
daemon=$!
trap 'kill $daemon 2>/dev/null || true' EXIT
for ((i = 0; i < 200; ++i)); do
    address=$(sed -n 's/.*admin: listening on //p' "$dir/log")
    [ -z "$address" ] || break
    sleep 0.05
done
# The stream of events never ends, orders of no such thing are 404 whatever else is wrong with them, and methods that
# cpp-httplib does not know, such as QUERY, are no requests to it.
"$venv/bin/schemathesis" --no-color run "http://$address/api/v1/openapi.json" -H "Authorization: Bearer $token" \
    --exclude-checks negative_data_rejection,positive_data_acceptance,unsupported_method --exclude-path /events/stream \
    --max-examples 30 --seed 1 --generation-database none --request-timeout 10
kill -0 $daemon
