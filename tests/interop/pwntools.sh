# SPDX-License-Identifier: MIT
# For the scripts beside it: $python has pwntools, which stay in the build directory.
fail() { echo "$*" >&2; exit 1; }
skip() { echo "Skipped: $*"; exit 77; }

instancerd=$1 dir=$2
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$dir"
venv=$(dirname "$dir")/venv
python=$venv/bin/python3
if ! "$python" -c 'import pwnlib.tubes' >/dev/null 2>&1; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --retries 1 'pwntools>=4.12,<5' >"$dir/log" 2>&1 ||
        skip "pwntools cannot be had from PyPI: $(tail -n 1 "$dir/log")"
fi
# It keeps a cache and looks for newer versions otherwise.
export XDG_CACHE_HOME=$dir/cache PWNLIB_NOTERM=1
