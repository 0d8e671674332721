#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# format.sh CLANG_FORMAT: every source file is as .clang-format has it.
set -euo pipefail
cd "$(dirname "$0")/../.."
export clang_format=$1

# Not by --dry-run, which also complains of lines that it would leave as they are.
conforms() {
    local file status=0
    for file; do
        "$clang_format" --style=file "$file" | cmp -s - "$file" || { echo "$file: is not formatted"; status=1; }
    done
    return "$status"
}
export -f conforms

find apps bench conan libinstancer tests -name build -prune -o \( -name '*.cpp' -o -name '*.hpp' \) -print0 |
    xargs -0 -n 20 -P "$(nproc)" bash -c 'conforms "$@"' conforms ||
    { echo "Mend it with: clang-format-14 -i FILE..."; exit 1; }
