#!/usr/bin/env bash
# Starts the server as docker/compose.yaml says, beside the machine's own Docker, and tries it: it is healthy, finds the daemon
# as its plain user, takes a delivery and decides about it, and still knows it after a restart.
#
#   tests/deploy/compose.sh PROGRAM        the release build; the image is built around it, so that nothing is compiled twice
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/deploy/lib.sh
program=$(realpath "$1")
if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi

work=$(mktemp -d)
export CLOUD_CODE_DATA=$work/data CLOUD_CODE_PORT=$((20000 + $$ % 20000))
DOCKER_GID=$(stat -c %g /var/run/docker.sock)
export DOCKER_GID
project=cloud-code-test-$$
in_project() { "${compose[@]}" -p "$project" -f "$work/source/docker/compose.yaml" "$@"; }
cleanup() {
    in_project down -v --timeout 5 >/dev/null 2>&1 || true
    docker rmi -f "$project-rust" >/dev/null 2>&1 || true
    # Its files belong to the server's user, which is another than ours.
    rm -rf "$work"
}
trap cleanup EXIT

# The Dockerfile as it is, but for its compiler: in its place stands an image whose `cargo` leaves the finished program.
mkdir -p "$work/rust" "$work/source/docker/server" "$work/source/finished"
printf '#!/bin/sh\nmkdir -p target/release && cp finished/cloud-code target/release/\n' >"$work/rust/cargo"
printf 'FROM debian:bookworm-slim\nCOPY --chmod=755 cargo /usr/local/bin/cargo\n' >"$work/rust/Dockerfile"
chmod 755 "$work/rust/cargo"
sed -i 's/ --chmod=755//' "$work/rust/Dockerfile"
docker build -q -t "$project-rust" "$work/rust" >/dev/null
cp docker/compose.yaml "$work/source/docker/"
cp docker/server/Dockerfile "$work/source/docker/server/"
cp "$program" "$work/source/finished/cloud-code"
settings "$work/source/docker/.env"
install -d -o 1000 -g 1000 -m 700 "$CLOUD_CODE_DATA"

in_project build --build-arg "RUST=$project-rust" server
in_project up -d --no-build
url=http://127.0.0.1:$CLOUD_CODE_PORT
await 'a healthy server' curl -fsS "$url/healthz"
[ "$(deliver "$url" compose-1)" = 202 ] || fail 'a signed delivery was not accepted'
await 'the decision about the delivery' decided "$url" compose-1
in_project exec -T server cloud-code doctor >"$work/doctor" 2>&1 || true
grep -q 'Docker .*API' "$work/doctor" || { cat "$work/doctor"; fail 'the doctor does not find the Docker daemon'; }
[ "$(in_project exec -T server id -u | tr -d '\r')" = 1000 ] || fail 'the server does not run as its plain user'
in_project restart --timeout 20
await 'a healthy server after a restart' curl -fsS "$url/healthz"
decided "$url" compose-1 || fail 'the decision is gone after a restart'
[ "$(curl -s -o /dev/null -w '%{http_code}' "$url/api/v1/runs")" = 401 ] || fail 'the API is open'
passed 1
