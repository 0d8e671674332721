#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# tidy.sh CLANG_TIDY ALL_HEADERS.cpp: the checks of .clang-tidy, on all headers at once and on each compiled source of
# the library.
set -euo pipefail
cd "$(dirname "$0")/../.."
export clang_tidy=$1

# The definitions are what clang 14 must be told to see coroutines in this standard library.
tidy() {
    "$clang_tidy" --quiet --warnings-as-errors='*' "$1" -- -std=c++20 -DASIO_STANDALONE -DASIO_NO_DEPRECATED \
        -D__cpp_impl_coroutine=201902L -DASIO_HAS_CO_AWAIT -DASIO_HAS_STD_COROUTINE -Ilibinstancer/include 2>&1
}
export -f tidy

printf '%s\0' "$2" libinstancer/src/*.cpp | xargs -0 -n 1 -P "$(nproc)" bash -c 'tidy "$0"'
