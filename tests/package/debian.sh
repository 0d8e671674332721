#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# debian.sh BUILD DIRECTORY: makes the Debian package of what was built in BUILD, installs it in a clean Debian, and looks
# at all that came with it: the daemon, units, socket activation, manual pages, completions; and that it goes again, with
# its configuration and without.
set -euo pipefail
source=$(cd "$(dirname "$0")/../.." && pwd)
. "$source/tests/package/chroot.sh"
build=$1 dir=$2
need_base
if [ -z "${INSTANCER_UNSHARED:-}" ]; then
    INSTANCER_UNSHARED=1 exec unshare --mount --pid --fork --kill-child "$0" "$@"
fi
make_package "$build" "$dir"
odd=$(dpkg-deb --contents "$package" | grep -vE '^(drwxr-xr-x|-rw[-x]r-[-x]r-[-x]|lrwxrwxrwx) root/root ' || true)
[ -z "$odd" ] || fail "These have other modes or owners: $odd"
if command -v lintian >/dev/null; then
    lintian --allow-root --fail-on error,warning "$package" >"$dir/log" 2>&1 ||
        { cat "$dir/log" >&2; fail "lintian complains"; }
    echo "ok: policy"
fi

# What happens in the root file system stays in memory.
root=$dir/root
mkdir "$root"
mount --make-rprivate /
mount -t tmpfs tmpfs "$dir/root"
mkdir "$root/upper" "$root/work" "$root/merged"
mount -t overlay overlay -o "lowerdir=$base,upperdir=$root/upper,workdir=$root/work" "$root/merged"
root=$root/merged
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
cp /etc/resolv.conf "$root/etc/resolv.conf"
inside() { DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" "$@"; }
quietly() { "$@" >"$dir/log" 2>&1 || { cat "$dir/log" >&2; fail "This failed: $*"; }; }

cp "$package" "$root/instancerd.deb"
inside apt-get -q update >"$dir/log" 2>&1 || { tail -n 3 "$dir/log"; skip "no mirror of Debian answers"; }
quietly inside apt-get -qy --no-install-recommends install /instancerd.deb
inside instancerd --version
echo "ok: the package installs"

# What it brings as the configuration says what is missing; with all of its examples switched on nothing is.
config=/etc/instancerd/instancerd.json
if inside instancerd check --config "$config" 2>"$dir/log"; then
    fail "A configuration without services passes"
fi
grep -q 'services: is empty; add a service' "$dir/log" || { cat "$dir/log" >&2; fail "check says something else"; }
sed -E 's@^( *)//( *["}])@\1\2@; s@/usr/bin/python3@/usr/bin/perl@' "$root$config" >"$root/tmp/all.json"
mkdir -p "$root/srv"
printf '#!/bin/cat\n' >"$root/srv/chall.py"
[ "$(grep -c '"mode"' "$root/tmp/all.json")" -eq 3 ] || fail "The examples of the configuration cannot be switched on"
quietly inside instancerd check --config /tmp/all.json
[ "$(inside id -u instancerd)" -gt 0 ] || fail "There is no user for the daemon"
for file in "$config" /etc/logrotate.d/instancerd; do
    inside dpkg-query --showformat '${Conffiles}' --show instancerd | grep -q "^ $file " || fail "$file is no conffile"
done
quietly inside apt-get -qy --no-install-recommends install logrotate
mkdir -p "$root/var/log/instancerd"
quietly inside logrotate --debug /etc/logrotate.d/instancerd
for file in alerts.yml grafana.json; do
    [ -s "$root/usr/share/instancerd/$file" ] || fail "The package has no $file"
done
echo "ok: the configuration"

# The units are right, alone and with what lifts their sandbox; and that sandbox is as tight as it is said to be.
units=$root/usr/lib/systemd/system
sed 's/^#\([A-Z]\)/\1/' "$root/usr/share/doc/instancerd/examples/exec.conf" \
    >"$root/usr/share/doc/instancerd/examples/exec-root.conf"
for drop_in in '' docker oci exec exec-root; do
    rm -rf "$root/etc/systemd/system/instancerd.service.d"
    if [ -n "$drop_in" ]; then
        mkdir -p "$root/etc/systemd/system/instancerd.service.d"
        cp "$root/usr/share/doc/instancerd/examples/$drop_in.conf" "$root/etc/systemd/system/instancerd.service.d/"
    fi
    quietly systemd-analyze --root "$root" --man=no --recursive-errors=no verify "$units/instancerd.service" \
        "$units/instancerd.socket"
    if grep . "$dir/log"; then
        fail "systemd-analyze verify has something to say${drop_in:+ with $drop_in.conf}"
    fi
done
rm -rf "$root/etc/systemd/system/instancerd.service.d" "$root/usr/share/doc/instancerd/examples/exec-root.conf"
quietly systemd-analyze --root "$root" --offline=yes --threshold=20 security instancerd.service
tail -n 1 "$dir/log"
echo "ok: the units"

# A socket that the service manager passes, by the name that the socket unit gives it, is served.
name=$(sed -n 's/^FileDescriptorName=//p' "$units/instancerd.socket")
cat >"$root/tmp/activated.json" <<END
{ "services": { "echo": { "mode": "exec", "listen": "fd:$name", "command": ["/bin/cat"] } } }
END
PATH=/usr/sbin:/usr/bin:/sbin:/bin unshare --net bash -euc '
    ip link set lo up
    systemd-socket-activate --fdname="$1" --listen 127.0.0.1:1337 \
        chroot "$2" instancerd run --config /tmp/activated.json >"$3" 2>&1 &
    deadline=$((SECONDS + 30))
    until ss -ltn | grep -q 127.0.0.1:1337; do
        kill -0 $!
        [ "$SECONDS" -lt "$deadline" ]
    done
    exec {client}<>/dev/tcp/127.0.0.1/1337
    echo "hello, socket" >&"$client"
    read -r -t 20 answer <&"$client"
    [ "$answer" = "hello, socket" ]
    exec {client}>&-
    kill -TERM $!
    wait $!
' bash "$name" "$root" "$dir/activated.log" || { cat "$dir/activated.log" >&2; fail "Socket activation does not work"; }
echo "ok: socket activation"

for page in 1/instancerd.1 5/instancerd.json.5; do
    LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=100 man --warnings -E UTF-8 -l -Tutf8 -Z "$root/usr/share/man/man$page.gz" \
        >/dev/null 2>"$dir/log"
    ! grep . "$dir/log" || fail "Manual page $page has mistakes"
done
zcat "$root/usr/share/man/man1/instancerd.1.gz" >"$dir/page"
inside instancerd --help >"$dir/help"
for option in $(grep -oE '^  --[a-z-]+' "$dir/help"); do
    grep -qF -- "fB${option//-/\\-}\\fR" "$dir/page" || fail "The manual page does not know $option"
done
grep -q SIGHUP "$dir/page" || fail "The manual page does not tell of signals"
echo "ok: manual pages"

# completed WORD...: what bash offers for the last one.
completed() {
    bash -c '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _instancerd; echo "${COMPREPLY[@]}"' bash \
        "$root/usr/share/bash-completion/completions/instancerd" instancerd "$@"
}
[[ " $(completed '') " == *' exec docker oci forward '* ]] || fail "bash offers no commands: $(completed '')"
[ "$(completed exec --aut)" = '--auth --auth-timeout --auth-key --auth-url --auth-url-timeout --auth-url-cache --auth-url-down' ] || fail "bash offers for --aut: $(completed exec --aut)"
[ "$(completed exec --auth '')" = 'open source token prompt signed webhook ctfd rctf shared' ] || fail "bash offers for --auth: $(completed exec --auth '')"
[ -z "$(completed forward --ima)" ] || fail "bash offers an option of another command"
for command in run check owners 'flag check' 'oci prune'; do
    [ "$(completed $command --config /etc/hostn)" = /etc/hostname ] || fail "bash offers no files for $command --config"
done
[[ "$(completed oci '')" == 'prune --'* ]] || fail "bash offers for oci: $(completed oci '')"
[ "$(completed oci --listen :1 --rootf)" = --rootfs ] || fail "bash does not offer --rootfs"
[ "$(completed check --str)" = --strict ] || fail "bash does not offer --strict"
[ "$(completed tunnel server -t /etc/hostn)" = /etc/hostname ] || fail "bash offers no files after a short option"
[[ " $(completed tunnel server -) " == *' -t --routing '* ]] || fail "bash offers no short options"
[[ "$(completed exec --pty '')" == 'off echo raw --'* ]] || fail "bash offers for --pty: $(completed exec --pty '')"
# In place of what zsh would do with them, the offers are shown.
offered=$(zsh -f -c '_arguments() { print -l -- "$@" }; compadd() { print -l -- "$@" }
    file=$1; shift; words=("$@"); CURRENT=$#; . $file' zsh "$root/usr/share/zsh/vendor-completions/_instancerd" \
    instancerd exec --aut)
grep -q '^--auth\[.*\]:open|source|token|prompt|signed|webhook|ctfd|rctf|shared:(open source token prompt signed webhook ctfd rctf shared)$' <<<"$offered" || fail "zsh offers: $offered"
grep -q '^(-l --log)-l\[' <<<"$offered" || fail "zsh offers no short options: $offered"
grep -qF -- "'__fish_seen_subcommand_from exec' -l auth -x -a 'open source token prompt signed webhook ctfd rctf shared'" \
    "$root/usr/share/fish/vendor_completions.d/instancerd.fish" || fail "fish is offered nothing for --auth"
grep -q '"when-full"' "$root/usr/share/instancerd/instancerd.schema.json" || fail "The schema knows no --when-full"
echo "ok: completions"

# Without what it leaves on purpose: the configuration, and that the service is enabled, which starts nothing meanwhile.
link=/etc/systemd/system/multi-user.target.wants/instancerd.service
mkdir -p "$root${link%/*}"
ln -s /lib/systemd/system/instancerd.service "$root$link"
quietly inside apt-get -qy remove instancerd
[ ! -e "$root/usr/bin/instancerd" ] || fail "The program stays when the package goes"
[ -s "$root$config" ] || fail "The configuration goes with the package, though it was only removed"
[ -L "$root$link" ] || fail "A removal forgets that the service was enabled"
[ "$(readlink "$root/etc/systemd/system/instancerd.service")" = /dev/null ] || fail "The enabled service has no program"
quietly inside apt-get -qy --no-install-recommends install /instancerd.deb
[ -L "$root$link" ] || fail "The service is no longer enabled when the package comes back"
[ ! -e "$root/etc/systemd/system/instancerd.service" ] || fail "The service stays masked when the package comes back"
echo "ok: removed, and back again"

quietly inside apt-get -qy purge instancerd
left=$(find "$root/etc" "$root/usr" "$root/var/lib/instancerd" "$root/var/lib/systemd" -name '*instancerd*' 2>/dev/null ||
    true)
[ -z "$left" ] || fail "This stays when the package goes: $left"
echo "ok: nothing stays"
