#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# gcc12_query.sh CLANG_QUERY [ALL_HEADERS.cpp]: looks for code that g++ 12 miscompiles, in every source file with a
# coroutine. First it proves on gcc12_bad_forms.cpp that it would find each form.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
export clang_query=$1 here root
all_headers=${2:-}

# Prints `FILE:LINE: FORM` per finding; fails when the file could not be parsed, which would look like "no findings".
query() {
    local output
    output=$("$clang_query" -f "$here/gcc12.query" "$1" -- -std=c++20 -DASIO_STANDALONE -DASIO_NO_DEPRECATED \
        -DASIO_DISABLE_STD_ALIGNED_ALLOC -D__cpp_impl_coroutine=201902L -DASIO_HAS_CO_AWAIT -DASIO_HAS_STD_COROUTINE \
        -DSPDLOG_FMT_EXTERNAL -DINSTANCERD_PATH='""' -DHAND_OVER_PATH='""' -DINSTANCER_SOURCE_DIR='""' \
        -I"$root/libinstancer/include" -I"$root/tests/support" -I"$root/apps/instancerd" 2>&1) || true
    if ! grep -q '^[0-9]* match' <<<"$output" || grep -E ': (fatal )?error: |^[0-9]+:[0-9]+: Error' <<<"$output"; then
        echo "$1: not parsed"
        return 1
    fi
    sed -nE 's/^(.*:[0-9]+):[0-9]+: note: "([a-z]+-[a-z-]+)" binds here$/\1: \2/p' <<<"$output" | sort -u
}
export -f query

bad=$here/gcc12_bad_forms.cpp
found=$(query "$bad") || { echo "$found"; exit 1; }
while IFS=: read -r line text; do
    grep -qF "$bad:$line: ${text##*// bad: }" <<<"$found" || { echo "not found: $bad:$line:$text"; exit 1; }
done < <(grep -n '// bad: ' "$bad")
for line in $(sed -E 's/.*:([0-9]+): .*/\1/' <<<"$found"); do
    sed -n "${line}p" "$bad" | grep -q '// bad: ' || { echo "found in vain: $bad:$line"; exit 1; }
done
for form in $(sed -nE 's/^m .*\.bind\("(.*)"\)$/\1/p' "$here/gcc12.query"); do
    grep -q "// bad: $form\$" "$bad" || { echo "no example of $form in $bad"; exit 1; }
done

mapfile -t files < <(cd "$root" && grep -rlE '\bco_(await|return|yield)\b' --include='*.cpp' \
    --exclude-dir=build --exclude="${bad##*/}" "$PWD" | sort)
[ -z "$all_headers" ] || files+=("$all_headers")
findings=$(printf '%s\0' "${files[@]}" | xargs -0 -r -n 1 -P "$(nproc)" bash -c 'query "$0"') || status=1
[ -z "$findings" ] || { sort -u <<<"$findings"; exit 1; }
exit "${status:-0}"
