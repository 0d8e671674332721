#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# service.sh BUILD DIRECTORY: lets a real systemd, in a container, run what the Debian package of BUILD brings: the
# service in its sandbox, with the drop-in for processes as well, and started by its socket.
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
COPY instancerd_*.deb /tmp/
RUN apt-get update && apt-get install -y --no-install-recommends systemd dbus /tmp/instancerd_*.deb
END
build_image "$tag" "$tag-base" "$dir/Dockerfile" "$dir"

if ! docker run -d --name "$tag" --network none --cap-add SYS_ADMIN --security-opt seccomp=unconfined \
        --security-opt apparmor=unconfined --cgroupns private -v /sys/fs/cgroup:/sys/fs/cgroup:ro --tmpfs /run:exec \
        --tmpfs /tmp "$tag" /lib/systemd/systemd >"$dir/log" 2>&1; then
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

# says FILE: connects inside, sends a line and shows what comes back.
says() { inside timeout 20 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1"; echo hello >&3; head -n "$2" <&3' bash "$@"; }

# As it comes: an ordinary user, on a port below 1024.
inside tee /etc/instancerd/instancerd.json >/dev/null <<'END'
{ "services": { "web": { "mode": "forward", "listen": ["127.0.0.1:80", "unix:/run/instancerd/socket"],
                         "to": "127.0.0.1:7000" } } }
END
docker exec -d "$tag" instancerd exec --listen 127.0.0.1:7000 -- /bin/cat
inside systemctl start instancerd || problem "The service does not start"
[ "$(says 80 1)" = hello ] || problem "The service does not serve"
inside test -S /run/instancerd/socket || problem "There is no Unix socket"
pid=$(inside systemctl show --value --property MainPID instancerd)
[ "$(inside stat -c %U "/proc/$pid")" = instancerd ] || problem "It runs as somebody else"
inside systemctl reload instancerd
inside systemctl is-active --quiet instancerd || problem "It does not survive a reload"
inside systemctl stop instancerd
[ "$(inside systemctl show --value --property Result instancerd)" = success ] || problem "It does not end well"
echo "ok: the service"

# A wrong configuration is not tried again and again.
echo '{}' | inside tee /etc/instancerd/instancerd.json >/dev/null
if inside systemctl start instancerd >"$dir/log" 2>&1; then
    problem "A start that fails is not told"
fi
[ "$(inside systemctl show --value --property NRestarts instancerd)" = 0 ] || problem "It is started again"
inside systemctl reset-failed instancerd
echo "ok: a wrong configuration"

# With the drop-in, by its socket: a process of another user, in a control group of its own.
inside tee /etc/instancerd/instancerd.json >/dev/null <<'END'
{ "services": { "shell": { "mode": "exec", "listen": "fd:instancerd", "user": "nobody", "limits": { "nofile": 64 },
      "command": ["/bin/sh", "-c", "id -un; grep -c instancer[.] /proc/self/cgroup; exec /bin/cat"] } } }
END
inside mkdir /etc/systemd/system/instancerd.service.d
inside cp /usr/share/doc/instancerd/examples/exec.conf /etc/systemd/system/instancerd.service.d/
inside systemctl daemon-reload
inside systemctl start instancerd.socket
answer=$(says 1337 3 | tr '\n' ' ') || problem "The socket does not serve"
[ "$answer" = "nobody 1 hello " ] || problem "The process answers: $answer"
inside systemctl stop instancerd.socket instancerd
echo "ok: processes, started by the socket"
