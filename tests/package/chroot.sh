# SPDX-License-Identifier: MIT
# Sourced: a clean Debian of the release that this machine runs, since packages are built for that.

skip() { echo "Skipped: $*"; exit 77; }
fail() { echo "$*" >&2; exit 1; }

# Sets base, the root file system, which is fetched once and never changed.
need_base() {
    [ "$(id -u)" -eq 0 ] || skip "only root may enter another root file system"
    command -v debootstrap >/dev/null || skip "there is no debootstrap"
    local release part
    release=$(. /etc/os-release && [ "$ID" = debian ] && echo "${VERSION_CODENAME:-}") || skip "this is not Debian"
    base=/var/tmp/instancer-$release
    [ ! -e "$base/etc/debian_version" ] || return 0
    part=$(mktemp -d "$base.XXXXXX")
    # What one attempt has fetched the next one need not: a mirror may be away for a moment.
    for attempt in 1 2 3; do
        ! debootstrap --variant=minbase "$release" "$part" http://deb.debian.org/debian >"$part.log" 2>&1 || break
        [ "$attempt" -lt 3 ] || { tail -n 3 "$part.log" && rm -rf "$part" "$part.log" && skip "Debian cannot be fetched"; }
        sleep 5
    done
    rm -rf "$part"/var/cache/apt/archives/*.deb "$part.log"
    chmod 755 "$part"
    mv -T "$part" "$base" 2>/dev/null || rm -rf "$part"  # somebody else was quicker
}

# make_package BUILD DIRECTORY: sets package. Made by somebody who lets nobody else read their files, which it must not
# pass on.
make_package() {
    rm -rf "$2"
    mkdir -p "$2"
    (umask 077 && cd "$1" && cpack -G DEB -B "$2") >"$2/log" 2>&1 || { cat "$2/log" >&2; fail "cpack failed"; }
    package=$(echo "$2"/instancerd_*.deb)
    [ -f "$package" ] || fail "cpack made no package of that name: $package"
    chmod 644 "$package"  # apt reads it as another user
}

# build_image TAG BASE-TAG DOCKERFILE CONTEXT: from the clean Debian. With the host's network, because not every host
# lets containers out by a bridge.
build_image() {
    tar -C "$base" --exclude ./var/lib/apt/lists -c . | docker import - "$2" >"$dir/log" 2>&1
    DOCKER_BUILDKIT=0 docker build --network host --build-arg "BASE=$2" -t "$1" -f "$3" "$4" >"$dir/log" 2>&1 && return
    ! grep -q 'Failed to fetch\|Temporary failure' "$dir/log" || skip "no mirror of Debian answers"
    cat "$dir/log" >&2
    fail "The image cannot be built"
}
