#!/usr/bin/env bash
# Builds the agent images: cloud-code-agent-NAME:latest for each folder NAME under docker/agents that is a CLI.
#
#   scripts/build-agents.sh [NAME…] [--base IMAGE] [--ca-file FILE] [--agent PATH] [--prefix PREFIX]
#
#   NAME             which images; all of them by default
#   --base IMAGE     stand on this image, by default debian:bookworm-slim
#   --ca-file FILE   trust these certificates (PEM) while fetching, e.g. a company's proxy's; no image keeps them
#   --agent PATH     take this cloud-code-agent program (static, for Linux) and do not build one
#   --prefix PREFIX  names of the images, by default cloud-code-agent-
set -euo pipefail
cd "$(dirname "$0")/.."

die() { echo "build-agents: $*" >&2; exit 1; }
usage() { sed -n '2,11s/^# \{0,1\}//p' "$0"; }

base=debian:bookworm-slim ca_file='' agent='' prefix=cloud-code-agent- names=()
while [ $# -gt 0 ]; do
    case $1 in
        --base | --ca-file | --agent | --prefix) [ $# -ge 2 ] || die "$1 needs a value" ;;&
        --base) base=$2; shift 2 ;;
        --ca-file) ca_file=$2; shift 2 ;;
        --agent) agent=$2; shift 2 ;;
        --prefix) prefix=$2; shift 2 ;;
        -h | --help) usage; exit 0 ;;
        -*) usage >&2; die "unknown option $1" ;;
        *) names+=("$1"); shift ;;
    esac
done

# Folders that others stand on are no agents.
is_agent() { [ "$1" != base ] && [ "$1" != npm ] && [ -f "docker/agents/$1/Dockerfile" ]; }
known=()
for folder in docker/agents/*/; do
    name=$(basename "$folder")
    if is_agent "$name"; then known+=("$name"); fi
done
[ ${#names[@]} -gt 0 ] || names=("${known[@]}")
for name in "${names[@]}"; do
    is_agent "$name" || die "there is no agent image $name; there are: ${known[*]}"
done
[ -z "$ca_file" ] || [ -s "$ca_file" ] || die "--ca-file $ca_file: no such file, or it is empty"
docker version >/dev/null 2>&1 || die "Docker does not answer: is the daemon running (scripts/dockerd.sh starts one), and may you use its socket?"

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT

# 1. The agent, linked statically so that it runs in whatever image --base names.
if [ -z "$agent" ]; then
    target=$(rustc -vV | sed -n 's/^host: //p')
    echo "building cloud-code-agent for $target"
    # --target keeps the flag away from build scripts and procedural macros, which can't be static.
    CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target} RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" \
        cargo build --release --locked -p cloud-code-agent --target "$target"
    agent=${CARGO_TARGET_DIR:-target}/$target/release/cloud-code-agent
fi
[ -x "$agent" ] || die "--agent $agent: no such program"
if ldd "$agent" 2>/dev/null | grep -q '=>'; then
    echo "build-agents: warning: $agent is linked dynamically; it runs only in images with the same libraries" >&2
fi
install -m 755 "$agent" "$context/cloud-code-agent"
if [ -n "$ca_file" ]; then cp "$ca_file" "$context/extra-ca.crt"; else : >"$context/extra-ca.crt"; fi

# 2. The images. Each gets the pinned versions that it has an ARG for.
build() { # FOLDER IMAGE ARG…
    local file=docker/agents/$1/Dockerfile image=$2 line
    shift 2
    local arguments=("$@")
    while read -r line; do
        if grep -q "^ARG ${line%%=*}\$" "$file"; then arguments+=(--build-arg "$line"); fi
    done < <(grep -E '^[A-Z_]+=' docker/agents/versions.env)
    echo "building $image"
    docker build --quiet -f "$file" -t "$image" "${arguments[@]}" "$context" >/dev/null || die "$image could not be built (see above)"
}

build base "${prefix}base:latest" --build-arg "BASE=$base"
for name in "${names[@]}"; do
    stages=(--build-arg "BASE_IMAGE=${prefix}base:latest")
    if grep -q '^ARG NPM_IMAGE' "docker/agents/$name/Dockerfile"; then
        # Fetching needs Debian's npm, whatever the agents stand on.
        build npm "${prefix}npm:latest"
        stages+=(--build-arg "NPM_IMAGE=${prefix}npm:latest")
    fi
    build "$name" "$prefix$name:latest" "${stages[@]}"
done

# 3. What came of it.
for name in base "${names[@]}"; do
    bytes=$(docker image inspect --format '{{.Size}}' "$prefix$name:latest")
    printf '%-44s %5d MB\n' "$prefix$name:latest" $((bytes / 1000000))
done
