#!/usr/bin/env bash
# Starts the server as infra/cloud-code.service says, under a real systemd in a container of its own: it starts, takes a
# delivery, comes back after a kill, stops cleanly, and is as locked in as the unit says.
#
#   tests/deploy/systemd.sh PROGRAM        the release build
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/deploy/lib.sh
program=$(realpath "$1")

work=$(mktemp -d)
name=cloud-code-test-systemd-$$
cleanup() {
    [ $? = 0 ] || docker exec "$name" journalctl -u cloud-code --no-pager --lines 30 || true
    docker rm -f "$name" >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap cleanup EXIT

cat >"$work/Dockerfile" <<'X'
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends systemd ca-certificates curl && rm -rf /var/lib/apt/lists/*
RUN groupadd --system docker && useradd --system --home-dir /var/lib/cloud-code --shell /usr/sbin/nologin cloud-code
STOPSIGNAL SIGRTMIN+3
CMD ["/lib/systemd/systemd"]
X
docker build -q -t cloud-code-test-systemd "$work" >/dev/null
settings "$work/env"
sed -n 's/^GITHUB_PRIVATE_KEY=//p' "$work/env" | sed 's/\\n/\n/g' >"$work/github.pem"
sed -i '/^GITHUB_PRIVATE_KEY=/d' "$work/env"
printf '%s\n' LISTEN_ADDR=0.0.0.0:8080 RUNNER=process GITHUB_PRIVATE_KEY_FILE=/etc/cloud-code/github.pem >>"$work/env"

docker run -d --name "$name" --cap-add SYS_ADMIN --security-opt seccomp=unconfined --cgroupns private -v /sys/fs/cgroup:/sys/fs/cgroup:rw --tmpfs /run --tmpfs /run/lock --tmpfs /tmp -p 127.0.0.1::8080 cloud-code-test-systemd >/dev/null
inside() { docker exec "$name" "$@"; }
await 'systemd' inside systemctl list-units
docker cp -q "$program" "$name:/usr/local/bin/cloud-code" 2>/dev/null || docker cp "$program" "$name:/usr/local/bin/cloud-code"
inside install -d -m 755 /etc/cloud-code
docker cp "$work/env" "$name:/etc/cloud-code/env"
docker cp infra/cloud-code.service "$name:/etc/systemd/system/cloud-code.service"
docker cp "$work/github.pem" "$name:/etc/cloud-code/github.pem"
inside chown root:cloud-code /etc/cloud-code/env /etc/cloud-code/github.pem
inside chmod 600 /etc/cloud-code/env
inside chmod 640 /etc/cloud-code/github.pem
inside systemctl daemon-reload
inside systemd-analyze verify cloud-code.service
url=http://$(docker port "$name" 8080 | head -1)
inside systemctl enable --now cloud-code || fail 'the service does not start'
await 'a healthy server' curl -fsS "$url/healthz"
[ "$(deliver "$url" systemd-1)" = 202 ] || fail 'a signed delivery was not accepted'
await 'the decision about the delivery' decided "$url" systemd-1

before=$(inside systemctl show -p MainPID --value cloud-code)
[ "$(inside stat -c %U "/proc/$before")" = cloud-code ] || fail 'the server does not run as its own user'
inside systemctl kill --signal=SIGKILL cloud-code
again() { local now; now=$(inside systemctl show -p MainPID --value cloud-code); [ "$now" != 0 ] && [ "$now" != "$before" ] && curl -fsS "$url/healthz"; }
await 'the server to come back after a kill' again
decided "$url" systemd-1 || fail 'the decision is gone after a kill'

inside systemctl stop cloud-code
[ "$(inside systemctl show -p Result --value cloud-code)" = success ] || fail 'the service did not stop cleanly'
[ "$(inside stat -c '%U %a' /var/lib/cloud-code)" = 'cloud-code 700' ] || fail "the data folder is open: $(inside stat -c '%U %a' /var/lib/cloud-code)"
# systemd's own measure of what a service could still do: 0 nothing, 10 all.
exposure=$(inside systemd-analyze security cloud-code.service --no-pager | sed -n 's/.*exposure level.*: \([0-9.]*\).*/\1/p')
echo "exposure level: $exposure"
awk -v e="$exposure" 'BEGIN {exit !(e != "" && e < 3)}' || fail "the service is exposed: $exposure"
passed 1
