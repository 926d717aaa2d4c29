#!/usr/bin/env bash
# Sees to it that a Docker daemon answers: installs and starts one where there is none, and waits until it answers. Meant for
# development machines and CI; a server has Docker from its distribution and a service manager that keeps it up.
set -euo pipefail

die() { echo "dockerd: $*" >&2; exit 1; }
answers() { timeout 10 docker version >/dev/null 2>&1; }

if command -v docker >/dev/null && answers; then exit 0; fi
case ${DOCKER_HOST:-unix:///var/run/docker.sock} in
    unix:///var/run/docker.sock | unix:///run/docker.sock) ;;
    *) die "DOCKER_HOST is $DOCKER_HOST and does not answer; only a daemon on the usual socket is started from here" ;;
esac
[ "$(id -u)" = 0 ] || die "Docker does not answer, and starting it takes root. Start it (sudo systemctl start docker), or, if it runs, add yourself to the group docker (sudo usermod -aG docker $(id -un)) and log in again"

if ! command -v dockerd >/dev/null || ! command -v docker >/dev/null; then
    echo "installing docker.io"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq docker.io; } >/dev/null || die "docker.io can't be installed"
fi

if [ -d /run/systemd/system ]; then
    systemctl start docker
else
    # A pid file outlives a machine that was switched off, and dockerd then refuses to start when some other process has the number.
    pid=$(cat /var/run/docker.pid 2>/dev/null || true)
    if [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null || true)" != dockerd ]; then rm -f /var/run/docker.pid; pid=; fi
    log=${DOCKERD_LOG:-/var/log/dockerd.log}
    if [ -z "$pid" ]; then
        # In a session of its own, and holding none of our files: it outlives this script and whoever called it.
        setsid dockerd >"$log" 2>&1 </dev/null &
        pid=$!
    fi
fi

for _ in $(seq 120); do
    if answers; then echo "dockerd answers"; exit 0; fi
    if [ -n "${pid:-}" ] && ! kill -0 "$pid" 2>/dev/null; then tail -20 "$log" >&2; die "dockerd ended (the end of $log is above)"; fi
    sleep 0.5
done
die "dockerd does not answer after a minute${log:+; see $log}"
