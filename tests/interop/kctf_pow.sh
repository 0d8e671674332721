#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# kctf_pow.sh INSTANCERD DIRECTORY: the solver of the crate kctf-pow, which many players have, solves what kCTF's and
# redpwn's words ask for. It stays in DIRECTORY.
set -euo pipefail
. "$(dirname "$0")/pwntools.sh"

solver=$dir/bin/kctf-pow
if ! [ -x "$solver" ]; then
    for tool in cargo m4; do
        command -v "$tool" >/dev/null || skip "there is no $tool to build the crate kctf-pow with"
    done
    cargo install --quiet --root "$dir" kctf-pow >"$dir/log" 2>&1 ||
        skip "the crate kctf-pow cannot be installed: $(tail -n 1 "$dir/log")"
fi
for style in kctf redpwn; do
    "$python" "$here/proof.py" "$instancerd" "$style" "$solver" solve
    echo "ok: kctf-pow solves for $style"
done
