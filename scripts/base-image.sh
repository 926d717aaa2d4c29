#!/usr/bin/env bash
# Sees to it that the image debian:bookworm-slim is there: pulls it, or where no image registry can be reached makes it from
# Debian's packages with debootstrap. Does nothing when a usable one is there.
#
#   scripts/base-image.sh [--name IMAGE] [--no-pull]
set -euo pipefail

die() { echo "base-image: $*" >&2; exit 1; }

image=debian:bookworm-slim suite=bookworm pull=yes
while [ $# -gt 0 ]; do
    case $1 in
        --name) [ $# -ge 2 ] || die "--name needs a value"; image=$2; shift 2 ;;
        --no-pull) pull=no; shift ;;
        *) die "unknown argument $1" ;;
    esac
done

# An image made from a stream that broke off exists but does not work, so it is tried and not only looked for.
usable() { docker image inspect "$image" >/dev/null 2>&1 && docker run --rm --network none --entrypoint apt-get "$image" --version >/dev/null 2>&1; }

docker version >/dev/null 2>&1 || die "Docker does not answer; scripts/dockerd.sh starts it"
if usable; then exit 0; fi
if [ "$pull" = yes ] && timeout 60 docker pull --quiet "$image" 2>/dev/null && usable; then exit 0; fi

[ "$(id -u)" = 0 ] || die "$image can't be pulled, and making it takes root: run this once with sudo"
if ! command -v debootstrap >/dev/null; then
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq debootstrap; } >/dev/null ||
        die "$image can't be pulled, and debootstrap can't be installed to make it"
fi

# A new folder each time: what an interrupted run left behind is never built upon.
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
echo "making $image with debootstrap"
debootstrap --variant=minbase --merged-usr "$suite" "$work/root" >"$work/log" 2>&1 || { tail -20 "$work/log" >&2; die "debootstrap failed (its log's end is above)"; }

# As Debian's own slim images: no documentation, nothing that apt can fetch again, and services do not start.
root=$work/root
cat >"$root/etc/dpkg/dpkg.cfg.d/docker" <<'X'
path-exclude /usr/share/doc/*
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/man/*
path-include /usr/share/doc/*/copyright
force-unsafe-io
X
printf 'APT::Install-Recommends "true";\nAcquire::Languages "none";\nDir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n' >"$root/etc/apt/apt.conf.d/docker"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
rm -rf "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/var/log/*.log "$root"/var/log/apt \
    "$root"/usr/share/info/* "$root"/usr/share/locale/* "$root"/usr/share/man/*
find "$root/usr/share/doc" -type f ! -name copyright -delete

tar -C "$root" --numeric-owner -c . | docker import --change 'CMD ["bash"]' - "$image" >/dev/null
usable || die "$image was made but does not run"
echo "$image: $(($(docker image inspect --format '{{.Size}}' "$image") / 1000000)) MB"
