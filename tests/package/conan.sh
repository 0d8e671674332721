#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# conan.sh DIRECTORY: makes the Conan package, without its compiled part, with it, and with it shared, and lets
# test_package use each. The dependencies are those of the distribution, so that no recipe server is needed. Conan
# itself stays in DIRECTORY.
set -euo pipefail
dir=$1
source=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$dir"

fail() { echo "$*" >&2; exit 1; }

if ! "$dir/venv/bin/conan" --version >/dev/null 2>&1; then
    rm -rf "$dir/venv"
    python3 -m venv "$dir/venv"
    if ! "$dir/venv/bin/pip" install --quiet --retries 1 'conan>=2.4,<3' >"$dir/log" 2>&1; then
        echo "Skipped: Conan cannot be had from PyPI: $(tail -n 1 "$dir/log")"
        exit 77
    fi
fi
conan=$dir/venv/bin/conan
export CONAN_HOME=$dir/home
rm -rf "$CONAN_HOME"
! command -v ccache >/dev/null || export CMAKE_CXX_COMPILER_LAUNCHER=ccache CCACHE_BASEDIR=$dir CCACHE_NOHASHDIR=1

# quietly COMMAND...: shows the output only if it fails.
quietly() {
    "$@" >"$dir/log" 2>&1 || { cat "$dir/log" >&2; fail "This failed: $*"; }
}

quietly "$conan" profile detect
quietly "$conan" remote disable '*'
for recipe in "$source"/conan/system/*; do
    name=$(basename "$recipe")
    version=$(sed -n "s|.*requires(\"$name/\([^\"]*\)\".*|\1|p" "$source/conan/conanfile.py")
    [ -n "$version" ] || fail "The recipe requires no $name"
    quietly "$conan" export "$recipe" --version "$version"
done

for options in docker=False docker=True shared=True; do
    quietly "$conan" create "$source/conan" -o "&:$options" --build missing -s build_type=Debug \
        -s compiler.cppstd=20 -c tools.build:cxxflags='["-g0"]' -c tools.cmake.cmaketoolchain:generator=Ninja
    grep -q '^instancer [0-9]' "$dir/log" || { cat "$dir/log" >&2; fail "test_package did not run"; }
    echo "ok: conan create with $options"
done

# What is compiled by nobody is the same package for all.
"$conan" list 'instancer/*#*:*' --format json >"$dir/packages.json" 2>"$dir/log"
python3 - "$dir/packages.json" <<'END'
import json
import sys

with open(sys.argv[1]) as file:
    packages = [package["info"] for recipes in json.load(file).values() for recipe in recipes.values()
                for revision in recipe["revisions"].values() for package in revision["packages"].values()]
light = [package for package in packages if package.get("options", {}).get("docker") != "True"]
assert len(packages) == 3 and light == [{}], packages
END
echo "ok: the package of the headers depends on nothing"
