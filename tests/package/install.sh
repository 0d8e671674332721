#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# install.sh BUILD DIRECTORY: installs what was built in BUILD, and uses it from outside, as well as the sources, in
# each way that there is. Consumers for whom the headers are enough must not even look for what those do not need.
set -euo pipefail
build=$1 dir=$2
source=$(cd "$(dirname "$0")/../.." && pwd)
consumer=$source/tests/package/consumer
version=$(sed -n 's/^project(instancer VERSION \([0-9.]*\).*/\1/p' "$source/CMakeLists.txt")
rm -rf "$dir"
mkdir -p "$dir"
# What the compiler has seen before it need not compile again.
cache=()
! command -v ccache >/dev/null || cache=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
hidden=()
for package in httplib nlohmann_json OpenSSL PkgConfig CLI11 spdlog date doctest; do
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
    local name=$1 program
    shift
    quietly "$name" cmake -G Ninja -S "$consumer" -B "$dir/$name" -DVERSION="${version%.*}" "${cache[@]}" "$@"
    quietly "$name" cmake --build "$dir/$name"
    for program in headers version docker; do
        [ ! -e "$dir/$name/$program" ] || "$dir/$name/$program" || fail "$name: $program does not do what it should"
    done
    echo "ok: $name"
}

# by_hand NAME MODULE [LIBDIR]: compiles with the flags of pkg-config.
by_hand() {
    local flags cxx=(g++)
    ! command -v ccache >/dev/null || cxx=(ccache g++)
    flags=$(PKG_CONFIG_PATH=${3:-$dir/prefix/lib}/pkgconfig pkg-config --cflags --libs "$2")
    # shellcheck disable=SC2086
    quietly "pkg-config $2" "${cxx[@]}" -std=c++20 -c "$consumer/$1.cpp" -o "$dir/$1.o" $flags
    # shellcheck disable=SC2086
    quietly "pkg-config $2" g++ "$dir/$1.o" -o "$dir/$1" $flags
    "$dir/$1" || fail "pkg-config $2: $1 does not do what it should"
    echo "ok: pkg-config $2${3:+ in $3}"
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
init=$(PKG_CONFIG_PATH=$dir/prefix/lib/pkgconfig pkg-config --variable=init instancer-headers)
[ -x "$init" ] || fail "pkg-config does not know where instancer-init is"
consume fetch-headers -DWAY=fetch -DINSTANCER_SOURCE="$source" -DINSTANCER_WITH_DOCKER=OFF "${hidden[@]}"

# refused NAME TEXT OPTION...: a consumer that cannot be configured, and is told TEXT.
refused() {
    local name=$1 text=$2
    shift 2
    if cmake -G Ninja -S "$consumer" -B "$dir/$name" -DVERSION="${version%.*}" -DWAY=package "$@" >"$dir/log" 2>&1; then
        fail "$name is not refused"
    fi
    grep -qF "$text" "$dir/log" || { cat "$dir/log" >&2; fail "$name is not told: $text"; }
    echo "ok: $name"
}

refused no-component "Missing: podman," -DCMAKE_PREFIX_PATH="$dir/prefix" -DCOMPONENT=podman
refused without-expected tl-expected -DCMAKE_PREFIX_PATH="$dir/prefix" -DCMAKE_DISABLE_FIND_PACKAGE_tl-expected=ON
consume missing -DWAY=missing -DCMAKE_PREFIX_PATH="$dir/prefix" -DCMAKE_DISABLE_FIND_PACKAGE_tl-expected=ON
consume optional-docker -DWAY=optional -DHEADERS=version -DCMAKE_PREFIX_PATH="$dir/prefix" "${hidden[@]}"

# only_headers NAME OPTION...: installs them in $dir/NAME. Nothing more is asked for than that there be no Docker, and
# all that has to be built for it is instancer-init.
only_headers() {
    local name=$1
    shift
    quietly "$name" cmake -G Ninja -S "$source" -B "$dir/$name-build" -DINSTANCER_WITH_DOCKER=OFF \
        -DCMAKE_INSTALL_PREFIX="$dir/$name" "${hidden[@]}" "$@"
    quietly "$name" cmake --build "$dir/$name-build" --target instancer_init
    quietly "$name" cmake --install "$dir/$name-build"
}

only_headers only
refused without-docker "built without INSTANCER_WITH_DOCKER" -DDOCKER=ON -DCMAKE_PREFIX_PATH="$dir/only"
[ -z "$(find "$dir/only" -name 'docker*')" ] || fail "The headers alone hold those of the Docker backend"

# Directories of other names, within the prefix and outside of it.
only_headers odd -DCMAKE_INSTALL_LIBDIR=libraries/odd -DCMAKE_INSTALL_INCLUDEDIR=headers/odd
mv "$dir/odd" "$dir/odd-moved"
consume odd-directories -DWAY=package -DHEADERS=version -Dinstancer_DIR="$dir/odd-moved/libraries/odd/cmake/instancer"
by_hand version instancer-headers "$dir/odd-moved/libraries/odd"
# CMake lets no target name a directory of its own sources, within which the build may be.
outside=$(mktemp -d)
trap 'rm -rf "$outside"' EXIT
only_headers absolute -DCMAKE_INSTALL_LIBDIR="$outside/lib" -DCMAKE_INSTALL_INCLUDEDIR="$outside/headers"
consume absolute-directories -DWAY=package -DHEADERS=version -Dinstancer_DIR="$outside/lib/cmake/instancer"
by_hand version instancer-headers "$outside/lib"

# foreign NAME TARGET: a CMake package of somebody else, in a place of its own.
foreign() {
    mkdir -p "$dir/$1"
    echo "add_library($2 INTERFACE IMPORTED)
        target_include_directories($2 INTERFACE \$<BUILD_INTERFACE:$dir/$1>)" >"$dir/$1/$1-config.cmake"
    echo 'set(PACKAGE_VERSION 1.30.2)
        set(PACKAGE_VERSION_COMPATIBLE TRUE)' >"$dir/$1/$1-config-version.cmake"
}

foreign asio asio::asio
foreign tl-expected tl::expected
only_headers foreign -Dasio_DIR="$dir/asio" -Dtl-expected_DIR="$dir/tl-expected"
cflags=$(PKG_CONFIG_PATH=$dir/foreign/lib/pkgconfig pkg-config --cflags instancer-headers)
[[ "$cflags " = *" -I$dir/asio "* && "$cflags " = *" -I$dir/tl-expected "* && "$cflags" != *CO_AWAIT* ]] ||
    fail "pkg-config does not follow the packages of others: $cflags"
echo "ok: pkg-config with packages of others"

# An Asio that is too old, whoever brings it.
mkdir "$dir/asio/asio"
echo '#define ASIO_VERSION 101803 // 1.18.3' >"$dir/asio/asio/version.hpp"
refused old-asio "Missing: Asio" -DCMAKE_PREFIX_PATH="$dir/prefix" -Dasio_DIR="$dir/asio"

# A subdirectory gives everything as well; here as a shared library, which is then used where it was installed. Whoever
# turns warnings into errors turns none of ours.
consume subdirectory -DWAY=subdirectory -DDOCKER=ON -DINSTANCER_SOURCE="$source" -DBUILD_SHARED_LIBS=ON \
    -DINSTANCER_INSTALL=ON -DCMAKE_CXX_FLAGS=-Werror
quietly "the shared installation" cmake --install "$dir/subdirectory" --prefix "$dir/shared"
# Errors compare equal across the border between the two, also where the consumer hides its own symbols.
consume shared -DWAY=package -DDOCKER=ON -DCMAKE_PREFIX_PATH="$dir/shared" -DCMAKE_CXX_VISIBILITY_PRESET=hidden \
    -DCMAKE_VISIBILITY_INLINES_HIDDEN=ON "${hidden[@]}"

library=$(readlink -f "$dir/shared/lib/libinstancer.so")
[ "$(basename "$library")" = "libinstancer.so.$version" ] || fail "The library is called $library"
readelf -d "$library" | grep -q "SONAME.*\[libinstancer.so.${version%.*}\]" || fail "Its soname is another"
nm -DC --defined-only "$library" >"$dir/symbols"
grep -q ' T instancer::DockerBackend::DockerBackend(' "$dir/symbols" || fail "It exports no DockerBackend"
if grep -E 'detail::(docker|oci)::|nlohmann|httplib' "$dir/symbols" | head; then
    fail "It exports what is nobody else's business"
fi
echo "ok: $(basename "$library")"

# The daemon finds it where both are installed. Made for another machine, nothing of what is built is run.
quietly "cross compiling" cmake -G Ninja -S "$source" -B "$dir/cross" -DCMAKE_SYSTEM_NAME=Linux -DBUILD_SHARED_LIBS=ON \
    -DINSTANCER_BUILD_TESTS=OFF -DINSTANCER_BUILD_BENCH=OFF
grep -q 'NEW_RPATH.*ORIGIN/\.\./lib"' "$dir/cross/apps/packaging/cmake_install.cmake" ||
    fail "The installed daemon finds no library"
ninja -C "$dir/cross" -t targets all >"$dir/targets"
grep -q '^instancerd: ' "$dir/targets" || fail "The daemon is not built"
! grep instancerd_generate "$dir/targets" || fail "What is built for another machine is run"
echo "ok: cross compiling"
