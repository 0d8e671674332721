# SPDX-License-Identifier: MIT
# Sourced by apps/run and tests/run: gets packages, configures and builds, with a sign of life on standard error.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

build_packages=(g++ cmake ninja-build pkgconf libasio-dev libexpected-dev libcpp-httplib-dev libssl-dev nlohmann-json3-dev
    libarchive-dev libseccomp-dev libcli11-dev libspdlog-dev libhowardhinnant-date-dev libsqlite3-dev tzdata)

say() { printf '%s\n' "$*" >&2; }

# progress TITLE: shows that something goes on: the last line that it reads on a terminal, a line now and then elsewhere.
progress() {
    local title=$1 line last='' text seconds next=1 columns
    local start=$SECONDS
    columns=$(tput cols 2>/dev/null) || columns=80
    while :; do
        if IFS= read -r -t 1 line; then last=$line; elif [ $? -le 128 ]; then break; fi
        seconds=$((SECONDS - start))
        if [ -t 2 ]; then
            text="$title [$seconds s] $last"
            printf '\r\033[K%s' "${text:0:columns - 1}" >&2
        elif [ "$seconds" -ge "$next" ]; then
            say "$title [$seconds s] $last"
            next=$((seconds + 10))
        fi
    done
    [ ! -t 2 ] || printf '\r\033[K' >&2
    seconds=$((SECONDS - start))
    [ "$seconds" -lt 1 ] || say "$title: $seconds s"
}

# step TITLE COMMAND...: runs it behind `progress`; only if it fails, its output is shown.
step() {
    local title=$1 log fd status=0
    shift
    log=$(mktemp)
    exec {fd}<>"$log"
    rm "$log"
    "$@" </dev/null 2>&1 | tee "/dev/fd/$fd" | progress "$title" || status=$?
    if [ "$status" -ne 0 ]; then
        grep -avE '^\[[0-9]+/[0-9]+\] ' "/dev/fd/$fd" | tail -n 150 >&2 || true
        say "$title: failed: $*"
    fi
    exec {fd}>&-
    return "$status"
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=300 "$@"
}

# need_packages PACKAGE...: installs what is missing.
need_packages() {
    local installed package missing=()
    if ! command -v apt-get >/dev/null; then
        return 0  # not Debian: CMake names what is missing
    fi
    installed=$(dpkg-query -W -f '${binary:Package} ${db:Status-Status}\n' "$@" 2>/dev/null) || true
    for package; do
        grep -qE "^${package//+/\\+}(:[a-z0-9]+)? installed\$" <<<"$installed" || missing+=("$package")
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
        say "Missing packages; as root: apt-get install ${missing[*]}"
        return 1
    fi
    say "Installing ${missing[*]}"
    [ "$(id -u)" -eq 0 ] || sudo -v
    step "Fetching package lists" apt update || true
    step "Installing packages" apt --no-install-recommends install "${missing[@]}"
}

# configure PRESET [OPTION...]: only where that is new; other changes the build notices by itself.
configure() {
    local preset=$1
    shift
    [ "$root/build/$preset/build.ninja" -nt "$root/CMakePresets.json" ] ||
        (cd "$root" && step "Configuring $preset" cmake --preset "$preset" "$@")
}

# build PRESET [TARGET...]
build() {
    local preset=$1
    shift
    NINJA_STATUS='[%f/%t] ' step "Building $preset" cmake --build "$root/build/$preset" ${1:+--target "$@"}
}
