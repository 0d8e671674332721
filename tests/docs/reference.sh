#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# reference.sh DOXYGEN [DIRECTORY]: makes the reference in DIRECTORY, or in one that goes. Any warning is an error,
# also that a public name has no documentation.
set -euo pipefail
cd "$(dirname "$0")/../.."
directory=${2:-}
if [ -z "$directory" ]; then
    directory=$(mktemp -d)
    trap 'rm -rf "$directory"' EXIT
fi
mkdir -p "$directory"
warnings=$( (cat libinstancer/doc/Doxyfile; echo "OUTPUT_DIRECTORY = $directory") | "$1" - 2>&1 >/dev/null)
[ -z "$warnings" ] || { echo "$warnings"; exit 1; }
[ -s "$directory/html/classinstancer_1_1Server.html" ] || { echo "there is no page about Server"; exit 1; }
