#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# needs.sh DIRECTORIES DEFINITIONS COMPILER HEADERS.cpp, where the first two are lists of CMake's: what the headers
# include, themselves or through others, is Asio, tl::expected, the library itself, or comes with the compiler and the
# system. It must be asked which file it is, since all else may lie in /usr/include as well. First it proves that it
# would notice cpp-httplib.
set -euo pipefail
IFS=';' read -ra directories <<<"$1"
IFS=';' read -ra definitions <<<"$2"
compiler=$3 headers=$4
system='/(c\+\+|gcc|clang|linux|asm|asm-generic|bits|gnu|sys|netinet|rpc)/|/(poll|syscall)\.h$'

# strangers FILE: prints what it includes that is none of that.
strangers() {
    local rule files
    rule=$("$compiler" -std=c++20 -M "${directories[@]/#/-I}" "${definitions[@]/#/-D}" "$1") || return 1
    files=$(tr ' \\' '\n' <<<"${rule#*:}" | grep . | xargs realpath -s | sort -u | grep -vxF "$1" |
        grep -vE '/asio(\.hpp|/.*)$|/tl/expected\.hpp$|/instancer/.*\.hpp$' | grep -vE "$system")
    # Not every file of the C library says so, but most do.
    xargs -r grep -L 'part of the GNU C Library' <<<"$files" || true  # what its exit code tells depends on its version
}

probe=$(mktemp --suffix=.cpp)
trap 'rm -f "$probe"' EXIT
echo '#include <httplib.h>' >"$probe"
found=$(strangers "$probe")
grep -q '/httplib\.h$' <<<"$found" || { echo "cpp-httplib is not noticed"; exit 1; }

found=$(strangers "$headers")
[ -z "$found" ] || { echo "The headers without Docker also include:"; echo "$found"; exit 1; }
