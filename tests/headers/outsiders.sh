#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# outsiders.sh DIRECTORY...: nobody outside the library uses what is in instancer/detail: what applications need is
# public. First it proves that it would notice.
set -euo pipefail

# strangers DIRECTORY...: prints the lines that use it.
strangers() { grep -rnE --include='*.[hc]pp' '<instancer/(impl/)?detail/|\binstancer::detail::|^[^"]*[^:]\bdetail::' "$@"; }

probe=$(mktemp -d)
trap 'rm -r "$probe"' EXIT
printf '%s\n' '#include <instancer/detail/config.hpp>' 'instancer::detail::x();' '    detail::x();' >"$probe/probe.cpp"
printf '%s\n' '#include <instancer/stream.hpp>' 'nlohmann::detail::x();' >"$probe/right.hpp"
[ "$(strangers "$probe" | wc -l)" = 3 ] || { echo "Uses of detail/ are not noticed"; exit 1; }

! strangers "$@" || { echo "These lines use what is in instancer/detail; make it public, or do without it"; exit 1; }
