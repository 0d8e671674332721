#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# An example has at most 80 lines and includes nothing from detail/: where it must, the interface is wrong.
set -euo pipefail
cd "$(dirname "$0")/../.."
status=0
for example in apps/examples/*.cpp; do
    lines=$(wc -l <"$example")
    [ "$lines" -le 80 ] || { echo "$example: has $lines lines, more than 80"; status=1; }
    ! grep -nH 'detail[/:]' "$example" || { echo "$example: uses what is in detail"; status=1; }
done
exit "$status"
