#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# service.sh BUILD DIRECTORY: lets a real systemd, in a container, run what the Debian package of BUILD brings: the
# service in its sandbox, with the drop-ins as well, and started by its socket; and what happens to it when the package
# is upgraded, removed and installed again.
set -euo pipefail
source=$(cd "$(dirname "$0")/../.." && pwd)
. "$source/tests/package/chroot.sh"
build=$1 dir=$2
command -v docker >/dev/null || skip "there is no docker command"
need_base
make_package "$build" "$dir"
tag=instancer-service-test-$$
trap 'docker rm -f "$tag" >/dev/null 2>&1; docker rmi "$tag" "$tag-base" >/dev/null 2>&1' EXIT
cat >"$dir/Dockerfile" <<'END'
ARG BASE
FROM ${BASE}
COPY instancerd_*.deb /instancerd.deb
RUN apt-get update && apt-get install -y --no-install-recommends systemd dbus crun /instancerd.deb
END
build_image "$tag" "$tag-base" "$dir/Dockerfile" "$dir"

socket=${DOCKER_HOST:-/var/run/docker.sock}
# With cgroup v1 it would take the host's root for that of its namespace, and leave the container's group, which then goes.
cgroups=private
[ -e /sys/fs/cgroup/cgroup.controllers ] || cgroups=host
if ! docker run -d --name "$tag" --network none -v "${socket#unix://}:/run/docker.sock" --cap-add SYS_ADMIN \
        --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined --cgroupns "$cgroups" \
        -v /sys/fs/cgroup:/sys/fs/cgroup:ro --tmpfs /run:exec --tmpfs /tmp "$tag" /lib/systemd/systemd >"$dir/log" 2>&1; then
    skip "this engine starts no such container: $(tail -n 1 "$dir/log")"
fi
inside() { docker exec -i "$tag" "$@"; }
state=
for _ in $(seq 100); do
    state=$(inside systemctl is-system-running 2>/dev/null || true)
    case $state in running | degraded) break ;; esac
    [ "$(docker inspect -f '{{.State.Running}}' "$tag")" = true ] || skip "systemd does not run in a container here"
    sleep 0.2
done
case $state in running | degraded) ;; *) skip "systemd does not start in a container here: $state" ;; esac

problem() { inside journalctl --no-pager -u instancerd >&2; fail "$*"; }

# configure: with what it reads from standard input.
configure() { inside tee /etc/instancerd/instancerd.json >/dev/null; }

# drop_in FILE: replaces the one that there is. With the lines that are commented out where $2 says so.
drop_in() {
    local directory=/etc/systemd/system/instancerd.service.d
    inside sh -euc 'rm -rf "$1"; mkdir "$1"; sed "$3" "/usr/share/doc/instancerd/examples/$2" >"$1/$2"' sh "$directory" \
        "$1" "${2:+s/^#\([A-Z]\)/\1/}"
    inside systemctl daemon-reload
}

# says PORT LINES: connects inside, sends a line and shows what comes back.
says() { inside timeout 20 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1"; echo hello >&3; head -n "$2" <&3' bash "$@"; }

# As it comes: an ordinary user, on a port below 1024.
configure <<'END'
{ "services": { "web": { "mode": "forward", "listen": ["127.0.0.1:80", "unix:/run/instancerd/socket"],
                         "to": "127.0.0.1:7000" } } }
END
docker exec -d "$tag" instancerd exec --listen 127.0.0.1:7000 -- /bin/cat
inside systemctl start instancerd || problem "The service does not start"
[ "$(says 80 1)" = hello ] || problem "The service does not serve"
inside test -S /run/instancerd/socket || problem "There is no Unix socket"
pid=$(inside systemctl show --value --property MainPID instancerd)
[ "$(inside stat -c %U "/proc/$pid")" = instancerd ] || problem "It runs as somebody else"
inside systemctl show --property ExecStart instancerd | grep -q ' path=/usr/bin/instancerd ' ||
    problem "The unit leaves it to the search path which program runs"
inside systemctl reload instancerd
inside systemctl is-active --quiet instancerd || problem "It does not survive a reload"
inside systemctl stop instancerd
[ "$(inside systemctl show --value --property Result instancerd)" = success ] || problem "It does not end well"
echo "ok: the service"

# A tunnel's user database is written, so it is where the service may write.
users=/var/lib/instancerd/users.db
python3 - "$dir/users.db" <<'END'
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as users:
    users.execute("CREATE TABLE user(id INTEGER PRIMARY KEY AUTOINCREMENT, username TEXT UNIQUE NOT NULL, "
                  "password TEXT NOT NULL, ip VARCHAR UNIQUE, last_login TIMESTAMP)")
    users.execute("INSERT INTO user(username, password, ip) VALUES('tom', '-', '127.0.0.1')")
END
docker cp "$dir/users.db" "$tag:$users" >/dev/null
inside chown instancerd: "$users"
configure <<END
{ "services": {
    "public": { "mode": "tunnel-server", "proxy": "127.0.0.1:8443", "routes": "127.0.0.1:8080 127.0.0.1:7000",
                "agents": "127.0.0.1", "db": "$users" },
    "inside": { "mode": "tunnel-agent", "proxy": "127.0.0.1:8443", "targets": "127.0.0.1" } } }
END
inside systemctl start instancerd || problem "The service does not start with a tunnel"
[ "$(says 8080 1)" = hello ] || problem "The tunnel does not serve"
inside systemctl stop instancerd
docker cp "$tag:$users" "$dir/users.db" >/dev/null
python3 -c 'import sqlite3, sys
sys.exit(sqlite3.connect(sys.argv[1]).execute("SELECT last_login FROM user").fetchone()[0] is None)' "$dir/users.db" ||
    problem "The login of the tunnel's user is not noted"
echo "ok: a tunnel with a user database"

# A wrong configuration is not tried again and again.
echo '{}' | configure
if inside systemctl start instancerd >"$dir/log" 2>&1; then
    problem "A start that fails is not told"
fi
[ "$(inside systemctl show --value --property NRestarts instancerd)" = 0 ] || problem "It is started again"
inside systemctl reset-failed instancerd
echo "ok: a wrong configuration"

# What it needs may come late: it is tried until then, however often that fails.
configure <<'END'
{ "services": { "web": { "mode": "forward", "listen": "127.0.0.1:82", "to": "127.0.0.1:7000" } } }
END
docker exec -d "$tag" sh -c 'echo $$ >/tmp/holder; exec instancerd exec --listen 127.0.0.1:82 -- /bin/cat'
for _ in $(seq 100); do
    [ "$(says 82 1 || true)" = hello ] && break
    sleep 0.1
done
inside systemctl start --no-block instancerd
for _ in $(seq 300); do
    [ "$(inside systemctl show --value --property NRestarts instancerd)" -lt 6 ] || break
    sleep 0.2
done
[ "$(inside systemctl show --value --property NRestarts instancerd)" -ge 6 ] || problem "The service gives up"
inside sh -c 'kill "$(cat /tmp/holder)"'
for _ in $(seq 100); do
    ! inside systemctl is-active --quiet instancerd || break
    sleep 0.2
done
[ "$(says 82 1)" = hello ] || problem "The service does not come up when it can"
inside systemctl stop instancerd
echo "ok: a service that has to wait for what it needs"

# With the drop-in for processes, by its socket. As it comes: an ordinary user's, and no user of their own.
processes() {
    configure <<END
{ "services": { "shell": { "mode": "exec", "listen": ["fd:instancerd", "127.0.0.1:81"], ${1:-} "limits": { "nofile": 64 },
      "command": ["/bin/sh", "-c", "id -un; grep -c instancer[.] /proc/self/cgroup; exec /bin/cat"] } } }
END
}
processes
drop_in exec.conf
inside systemctl start instancerd.socket
answer=$(says 1337 3 | tr '\n' ' ') || problem "The socket does not serve"
[ "$answer" = "instancerd 1 hello " ] || problem "The process answers: $answer"
inside systemctl stop instancerd.socket instancerd
processes '"user": "nobody",'
if inside systemctl start instancerd >"$dir/log" 2>&1; then
    problem "It starts, though it cannot give a process the user that it should have"
fi
inside systemctl reset-failed instancerd
# With all of it: the process is another user's, in a control group of its own.
drop_in exec.conf all
inside systemctl start instancerd.socket
answer=$(says 1337 3 | tr '\n' ' ') || problem "The socket does not serve"
[ "$answer" = "nobody 1 hello " ] || problem "The process answers: $answer"
inside systemctl stop instancerd.socket instancerd
echo "ok: processes, started by the socket"

# With the drop-in for containers without an engine: an ordinary user's, whose programs see another one.
# Groups of the first version systemd gives to nobody but root.
limits='"limits": { "memory": 0, "pids": 0, "cpus": 0 },'
[ ! -e /sys/fs/cgroup/cgroup.controllers ] || limits=
configure <<END
{ "services": { "walls": { "mode": "exec", "sandbox": true, "listen": "127.0.0.1:7002", $limits
      "command": ["/bin/sh", "-c", "id -u; ls -A /home | wc -l; exec /bin/cat"] } } }
END
drop_in oci.conf
inside systemctl start instancerd || problem "The service does not start with oci.conf"
answer=$(says 7002 3 | tr '\n' ' ') || problem "The sandbox does not answer"
[ "$answer" = "65534 0 hello " ] || problem "The sandbox answers: $answer"
pid=$(inside systemctl show --value --property MainPID instancerd)
[ "$(inside stat -c %U "/proc/$pid")" = instancerd ] || problem "It runs as somebody else with oci.conf"
inside systemctl stop instancerd
echo "ok: a sandbox without root"

# With the drop-in for containers: one beside this one, of the engine that runs both.
configure <<END
{ "name": "$tag", "services": { "box": { "mode": "docker", "listen": "127.0.0.1:7001", "image": "$tag-base",
      "engine": "unix:///run/docker.sock", "stdio": true, "command": ["/bin/cat"], "pull": "never" } } }
END
drop_in docker.conf
inside systemctl start instancerd || problem "The service does not start with docker.conf"
[ "$(says 7001 1)" = hello ] || problem "The container does not answer"
inside systemctl stop instancerd
[ -z "$(docker ps -aq --filter "label=instancer.daemon=$tag")" ] || problem "A container is left"
inside rm -r /etc/systemd/system/instancerd.service.d
echo "ok: containers"

# What the package does to a service that the administrator has enabled. A wrong configuration is no reason to be left
# half installed, and a removal none to forget it.
unit_is() { inside systemctl "is-$1" "$2" 2>/dev/null || true; }
quietly() { inside "$@" >"$dir/log" 2>&1 || { cat "$dir/log" >&2; problem "This failed: $*"; }; }
good='{ "services": { "web": { "mode": "forward", "listen": "127.0.0.1:80", "to": "127.0.0.1:7000" } } }'
configure <<<"$good"
quietly systemctl enable --now instancerd
configure <<<'{}'
quietly dpkg --install /instancerd.deb
[ "$(inside dpkg-query --show --showformat '${db:Status-Status}' instancerd)" = installed ] ||
    problem "An upgrade with a wrong configuration leaves the package half installed"
configure <<<"$good"
quietly dpkg --install /instancerd.deb
[ "$(says 80 1)" = hello ] || problem "The service does not run after an upgrade"
quietly dpkg --remove instancerd
[ "$(unit_is active instancerd)" = inactive ] || problem "The service runs without its package"
if inside systemctl start instancerd >"$dir/log" 2>&1; then
    problem "The service starts without its package"
fi
quietly dpkg --install /instancerd.deb
[ "$(unit_is enabled instancerd)" = enabled ] || problem "A removal has forgotten that the service was enabled"
[ "$(unit_is enabled instancerd.socket)" = disabled ] || problem "The socket is enabled, which nobody has asked for"
[ "$(says 80 1)" = hello ] || problem "The service does not run when the package comes back"
quietly systemctl disable --now instancerd
quietly systemctl enable --now instancerd.socket
quietly dpkg --install /instancerd.deb
[ "$(unit_is active instancerd) $(unit_is active instancerd.socket)" = "inactive active" ] ||
    problem "An upgrade changes which of service and socket runs"
configure <<<'{}'
quietly dpkg --purge instancerd
left=$(inside find /etc /usr/lib /var/lib -name '*instancerd*' -not -path '/var/lib/dpkg/*')
[ -z "$left" ] || problem "This stays when the package goes: $left"
[ "$(unit_is active instancerd.socket)" = inactive ] || problem "The socket listens without its package"
echo "ok: upgraded, removed, installed again, purged"
