# SPDX-License-Identifier: MIT
# Sourced by the scripts beside it: gets the rivals, and builds the benchmarks.
. "$(dirname "${BASH_SOURCE[0]}")/../cmake/setup.sh"

need_packages "${build_packages[@]}" xinetd socat haproxy nginx-light libnginx-mod-stream openssh-client crun bubblewrap

# build_bench DIR: builds instancerd and the benchmarks of the tree in DIR in release mode.
build_bench() {
    (cd "$1" && step "Configuring release" cmake --preset release -DINSTANCER_BUILD_BENCH=ON)
    NINJA_STATUS='[%f/%t] ' step "Building release" cmake --build "$1/build/release" --target instancer_bench
}
