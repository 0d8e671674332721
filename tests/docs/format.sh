#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# format.sh CLANG_FORMAT: every source file is as .clang-format has it.
set -euo pipefail
cd "$(dirname "$0")/../.."
find apps bench libinstancer tests -name build -prune -o \( -name '*.cpp' -o -name '*.hpp' \) -print0 |
    xargs -0 -n 20 -P "$(nproc)" "$1" --dry-run --Werror --style=file ||
    { echo "Mend it with: clang-format-14 -i FILE..."; exit 1; }
