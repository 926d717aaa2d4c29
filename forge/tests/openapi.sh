#!/usr/bin/env bash
# Fetches GitHub's OpenAPI description with npm into target/openapi and prints the file's path, for CLOUD_CODE_OPENAPI:
#   CLOUD_CODE_OPENAPI=$(forge/tests/openapi.sh) cargo test -p cloud-code-forge
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
dir=${CARGO_TARGET_DIR:-$root/target}/openapi
file=$dir/node_modules/@octokit/openapi/generated/api.github.com.json
if [ ! -f "$file" ]; then
  command -v npm >/dev/null || { echo "npm is needed to fetch @octokit/openapi: install Node.js" >&2; exit 1; }
  mkdir -p "$dir"
  npm install --prefix "$dir" --no-save --no-audit --no-fund --ignore-scripts @octokit/openapi@23 >&2
fi
echo "$file"
