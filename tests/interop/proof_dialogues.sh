#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# proof_dialogues.sh INSTANCERD DIRECTORY: a script like those of players goes through each dialogue of a proof of work
# to its instance.
set -euo pipefail
. "$(dirname "$0")/pwntools.sh"

command -v hashcash >/dev/null || skip "there is no hashcash (Debian: hashcash)"
for style in kctf redpwn hxp hashcash; do
    "$python" "$here/proof.py" "$instancerd" "$style"
    echo "ok: $style"
done
