# SPDX-License-Identifier: MIT
# Sourced by tests/run: finds a Docker engine or starts one of its own, which disturbs no other.
engine_pid='' engine_dir='' no_engine=''

engine_answers() { curl -sf --max-time 5 --unix-socket "$1" -o /dev/null http://localhost/_ping; }

# Sets DOCKER_HOST, or no_engine to the reason why there is none.
need_engine() {
    local socket=${DOCKER_HOST:-unix:///var/run/docker.sock}
    socket=${socket#unix://}
    if engine_answers "$socket"; then
        export DOCKER_HOST=unix://$socket
        return
    fi
    if [ -n "${DOCKER_HOST:-}" ]; then
        no_engine="no engine answers at DOCKER_HOST=$DOCKER_HOST"
        return
    fi
    if [ "$(id -u)" -ne 0 ]; then
        no_engine="no engine answers at $socket, and only root may start one (try: sudo tests/run)"
        return
    fi
    if ! command -v dockerd >/dev/null; then
        need_packages docker.io || { no_engine="docker.io cannot be installed" && return; }
        if engine_answers "$socket"; then  # the package may have started it
            export DOCKER_HOST=unix://$socket
            return
        fi
    fi
    start_engine
}

start_engine() {
    engine_dir=$(mktemp -d /var/tmp/instancer-engine.XXXXXX)
    local socket=$engine_dir/docker.sock deadline=$((SECONDS + 60))
    # In a session of its own, so that Ctrl-C lets the tests end before it; ended with this shell at the latest.
    setsid setpriv --pdeathsig TERM dockerd --data-root "$engine_dir/data" --exec-root "$engine_dir/exec" \
        --pidfile "$engine_dir/pid" --host "unix://$socket" </dev/null >"$engine_dir/log" 2>&1 &
    engine_pid=$!
    until engine_answers "$socket"; do
        if [ "$SECONDS" -ge "$deadline" ] || ! kill -0 "$engine_pid" 2>/dev/null; then
            no_engine="dockerd does not start: $(tail -n 1 "$engine_dir/log")"
            stop_engine
            return
        fi
        sleep 0.2
    done
    export DOCKER_HOST=unix://$socket
}

# Stops the engine that start_engine started, and no other.
stop_engine() {
    [ -n "$engine_pid" ] || return 0
    local pid=$engine_pid deadline=$((SECONDS + 60)) mount
    engine_pid=''
    kill -TERM "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.2; done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    while read -r _ mount _; do
        [[ $mount != "$engine_dir"/* ]] || umount -l "$mount" || true
    done < <(tac /proc/self/mounts)
    rm -rf "$engine_dir"
}
