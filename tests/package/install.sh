#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# install.sh BUILD DIRECTORY: installs what was built in BUILD, and uses it from outside, as well as the sources, in
# each way that there is. Consumers for whom the headers are enough must not even look for what those do not need.
set -euo pipefail
build=$1 dir=$2
source=$(cd "$(dirname "$0")/../.." && pwd)
consumer=$source/tests/package/consumer
rm -rf "$dir"
mkdir -p "$dir"
# What the compiler has seen before it need not compile again.
cache=()
! command -v ccache >/dev/null || cache=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
hidden=()
for package in httplib nlohmann_json PkgConfig CLI11 spdlog date doctest; do
    hidden+=("-DCMAKE_DISABLE_FIND_PACKAGE_$package=ON")
done

fail() { echo "$*" >&2; exit 1; }

# quietly NAME COMMAND...: shows the output only if it fails.
quietly() {
    local name=$1
    shift
    "$@" >"$dir/log" 2>&1 || { cat "$dir/log" >&2; fail "$name failed: $*"; }
}

# consume NAME OPTION...: configures and builds a consumer, and runs what it built.
consume() {
    local name=$1
    shift
    quietly "$name" cmake -G Ninja -S "$consumer" -B "$dir/$name" "${cache[@]}" "$@"
    quietly "$name" cmake --build "$dir/$name"
    "$dir/$name/headers"
    [ ! -e "$dir/$name/docker" ] || "$dir/$name/docker"
    echo "ok: $name"
}

# by_hand NAME MODULE: compiles with the flags of pkg-config.
by_hand() {
    local flags cxx=(g++)
    ! command -v ccache >/dev/null || cxx=(ccache g++)
    flags=$(PKG_CONFIG_PATH=$dir/prefix/lib/pkgconfig pkg-config --cflags --libs "$2")
    # shellcheck disable=SC2086
    quietly "pkg-config $2" "${cxx[@]}" -std=c++20 -c "$consumer/$1.cpp" -o "$dir/$1.o" $flags
    # shellcheck disable=SC2086
    quietly "pkg-config $2" g++ "$dir/$1.o" -o "$dir/$1" $flags
    "$dir/$1"
    echo "ok: pkg-config $2"
}

quietly "the installation" cmake --install "$build" --prefix "$dir/original" --component development
# An installation may be moved, and stands for itself: nothing in it names the sources or the build.
mv "$dir/original" "$dir/prefix"
if grep -rlF -e "$source" -e "$dir" "$dir/prefix" --include=*.cmake --include=*.pc --include=*.hpp; then
    fail "These name a directory of the build"
fi

consume package -DWAY=package -DDOCKER=ON -DCMAKE_PREFIX_PATH="$dir/prefix"
consume package-headers -DWAY=package -DCMAKE_PREFIX_PATH="$dir/prefix" "${hidden[@]}"
by_hand headers instancer-headers
by_hand docker instancer
consume fetch-headers -DWAY=fetch -DINSTANCER_SOURCE="$source" -DINSTANCER_WITH_DOCKER=OFF "${hidden[@]}"

# refused NAME TEXT OPTION...: a consumer that cannot be configured, and is told TEXT.
refused() {
    local name=$1 text=$2
    shift 2
    if cmake -G Ninja -S "$consumer" -B "$dir/$name" -DWAY=package "$@" >"$dir/log" 2>&1; then
        fail "$name is not refused"
    fi
    grep -qF "$text" "$dir/log" || { cat "$dir/log" >&2; fail "$name is not told: $text"; }
    echo "ok: $name"
}

refused without-expected tl-expected -DCMAKE_PREFIX_PATH="$dir/prefix" -DCMAKE_DISABLE_FIND_PACKAGE_tl-expected=ON
quietly "the headers alone" cmake -G Ninja -S "$source" -B "$dir/only-headers" -DINSTANCER_WITH_DOCKER=OFF \
    -DINSTANCER_BUILD_APPS=OFF -DINSTANCER_BUILD_TESTS=OFF -DINSTANCER_BUILD_BENCH=OFF "${hidden[@]}"
quietly "the headers alone" cmake --install "$dir/only-headers" --prefix "$dir/only"
refused without-docker "the latter is missing" -DDOCKER=ON -DCMAKE_PREFIX_PATH="$dir/only"
[ -z "$(find "$dir/only" -name 'docker*')" ] || fail "The headers alone hold those of the Docker backend"

# A subdirectory gives everything as well; here as a shared library, which is then used where it was installed.
consume subdirectory -DWAY=subdirectory -DDOCKER=ON -DINSTANCER_SOURCE="$source" -DBUILD_SHARED_LIBS=ON \
    -DINSTANCER_INSTALL=ON
quietly "the shared installation" cmake --install "$dir/subdirectory" --prefix "$dir/shared"
consume shared -DWAY=package -DDOCKER=ON -DCMAKE_PREFIX_PATH="$dir/shared" "${hidden[@]}"

version=$(sed -n 's/^project(instancer VERSION \([0-9.]*\).*/\1/p' "$source/CMakeLists.txt")
library=$(readlink -f "$dir/shared/lib/libinstancer.so")
[ "$(basename "$library")" = "libinstancer.so.$version" ] || fail "The library is called $library"
readelf -d "$library" | grep -q "SONAME.*\[libinstancer.so.${version%.*}\]" || fail "Its soname is another"
nm -DC --defined-only "$library" >"$dir/symbols"
grep -q ' T instancer::DockerBackend::DockerBackend(' "$dir/symbols" || fail "It exports no DockerBackend"
if grep -E 'detail::docker::|nlohmann|httplib' "$dir/symbols" | head; then
    fail "It exports what is nobody else's business"
fi
echo "ok: $(basename "$library")"
