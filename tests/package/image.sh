#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# image.sh BUILD DIRECTORY: makes the container image from the Debian package of what was built in BUILD, with a clean
# Debian as its base, and runs it: alone, and by the compose file with instances in containers of the same engine.
set -euo pipefail
source=$(cd "$(dirname "$0")/../.." && pwd)
. "$source/tests/package/chroot.sh"
build=$1 dir=$2
command -v docker >/dev/null || skip "there is no docker command"
if docker compose version >/dev/null 2>&1; then
    compose=(docker compose)
elif command -v docker-compose >/dev/null; then
    compose=(docker-compose)
else
    skip "there is neither docker compose nor docker-compose"
fi
need_base
make_package "$build" "$dir"
quietly() { "$@" >"$dir/log" 2>&1 || { cat "$dir/log" >&2; fail "This failed: $*"; }; }

# As in a checkout, with an older package beside the one that counts.
tree=$dir/tree release=$dir/tree/build/release
mkdir -p "$tree/apps/instancerd" "$release"
cp "$source"/apps/instancerd/{Dockerfile,compose.yaml} "$tree/apps/instancerd/"
cp "$package" "$release/"
echo "no package" >"$release/instancerd_0.0.9_amd64.deb"

tag=instancer-package-test-$$
compose+=(-f "$tree/apps/instancerd/compose.yaml" -p "$tag")
export INSTANCERD_BASE=$tag-base INSTANCERD_CONFIG=$dir/config INSTANCERD_IMAGE=$tag DOCKER_BUILDKIT=0
export DOCKER_SOCKET=${DOCKER_HOST:-/var/run/docker.sock}
DOCKER_SOCKET=${DOCKER_SOCKET#unix://}
clean_up() {
    "${compose[@]}" down --timeout 20 >/dev/null 2>&1 || true
    docker rm -f "$tag" >/dev/null 2>&1 || true
    docker rmi -f "$tag" "$tag-base" >/dev/null 2>&1 || true
}
trap clean_up EXIT

build_image "$tag" "$tag-base" "$tree/apps/instancerd/Dockerfile" "$release"
echo "ok: the image builds"

# free_port: one that nobody listens on now.
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# says PORT TEXT CONTAINER: sends a line, once somebody listens, and expects it back.
says() {
    local client answer deadline=$((SECONDS + 60))
    while [ "$SECONDS" -lt "$deadline" ]; do
        if { exec {client}<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null; then
            echo "$2" >&"$client"
            read -r -t 30 answer <&"$client" || answer=
            exec {client}>&-
            [ "$answer" != "$2" ] || return 0
        fi
        [ "$(docker inspect -f '{{.State.Running}}' "$3")" = true ] || break
        sleep 0.2
    done
    docker logs "$3" >&2
    fail "Nobody says $2 on port $1"
}

# Alone, as the ordinary user that the image names.
port=$(free_port)
quietly docker run -d --name "$tag" --network host "$tag" exec --listen "127.0.0.1:$port" -- /bin/cat
says "$port" "hello, process" "$tag"
[ "$(docker exec "$tag" id -un)" = instancerd ] || fail "It runs as somebody else"
quietly docker stop --time 20 "$tag"
[ "$(docker inspect -f '{{.State.ExitCode}}' "$tag")" = 0 ] || fail "It does not end well"
echo "ok: the image runs"

# By the compose file: one instance by its standard input and output, and one by a port inside of its own network.
stdio=$(free_port) inside=$(free_port)
mkdir -p "$dir/config"
cat >"$dir/config/instancerd.json" <<END
{ "name": "$tag", "drain-timeout": "1s",
  "services": {
    "stdio": { "mode": "docker", "listen": "127.0.0.1:$stdio", "image": "$tag-base", "stdio": true,
               "command": ["/bin/cat"], "pull": "never" },
    "port": { "mode": "docker", "listen": "127.0.0.1:$inside", "image": "$tag", "port": 9000, "pull": "never",
              "command": ["exec", "--listen", ":9000", "--", "/bin/cat"] } } }
END
# From wherever; what is built already need not be fetched again.
cd /
quietly "${compose[@]}" up -d --build
container=$("${compose[@]}" ps -q)
says "$stdio" "hello, container" "$container"
says "$inside" "hello, namespace" "$container"
docker logs "$container" >"$dir/log" 2>&1
if grep -i 'cannot be entered' "$dir/log"; then
    fail "Its instances are not isolated as they could be"
fi
# What it started goes with it, even while a client is connected.
instances() { docker ps -a --filter "label=instancer.daemon=$tag" --format '{{.Names}}'; }
exec {client}<>"/dev/tcp/127.0.0.1/$inside"
echo "hello again" >&"$client"
read -r -t 30 answer <&"$client" && [ "$answer" = "hello again" ] || fail "A second client is not served"
[ -n "$(instances)" ] || fail "No instance is to be seen"
quietly "${compose[@]}" stop --timeout 60
exec {client}>&-
[ -z "$(instances)" ] || fail "These are left: $(instances)"
echo "ok: the compose file"
