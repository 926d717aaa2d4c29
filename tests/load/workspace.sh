#!/usr/bin/env bash
# Workspace creation beside `git clone`, for a repository with a long history, both over HTTP on loopback.
#
#   tests/load/workspace.sh            50,000 commits, 300 files
#   COMMITS=1000 ROUNDS=5 tests/load/workspace.sh
#   RANDOM_KIB=1024 …          files of so much random data, for a history that is large rather than long
#
# The clone is served by git's own http-backend; so is the fetch without news that precedes each workspace. Prints one
# line a number, and closes with the figure beside `git clone`. Needs git and python3.
set -euo pipefail
cd "$(dirname "$0")/../.."

COMMITS=${COMMITS:-50000} FILES=${FILES:-300} ROUNDS=${ROUNDS:-9} RANDOM_KIB=${RANDOM_KIB:-0}
mkdir -p "${CARGO_TARGET_DIR:-target}/load"
dir=$(mktemp -d -p "$(realpath "${CARGO_TARGET_DIR:-target}")/load")
server=
cleanup() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -rf "$dir"
}
trap cleanup EXIT

"${CARGO:-cargo}" build --quiet --release -p cloud-code-git --features client --example workspace_bench
bench=${CARGO_TARGET_DIR:-target}/release/examples/workspace_bench

git init --quiet --bare "$dir/load/history.git" -b main
if [ "$RANDOM_KIB" != 0 ]; then git -C "$dir/load/history.git" config core.compression 0; fi
python3 - "$COMMITS" "$FILES" "$RANDOM_KIB" <<'PY' | git -C "$dir/load/history.git" fast-import --quiet
import os
import sys
commits, files, random_kib = map(int, sys.argv[1:])
out = sys.stdout.buffer
for n in range(1, commits + 1):
    text = f"file of commit {n}\n" + "a line of source code that is about this long\n" * 40
    data = os.urandom(random_kib << 10) if random_kib else text.encode()
    head = f"commit refs/heads/main\nmark :{n}\ncommitter Load <load@example.com> {1500000000 + n} +0000\n"
    head += f"data <<END\ncommit {n}\nEND\n" + (f"from :{n - 1}\n" if n > 1 else "")
    head += f"M 100644 inline src/module{n % 20}/file{n % files}.rs\ndata {len(data)}\n"
    out.write(head.encode() + data + b"\n")
PY
git -C "$dir/load/history.git" repack -a -d -q
git -C "$dir/load/history.git" config http.receivepack false
echo "repository_kib=$(du -sk "$dir/load/history.git" | cut -f1)"

mkfifo "$dir/port"
python3 - "$dir" > "$dir/port" <<'PY' &
import os, subprocess, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

root = sys.argv[1]

class Backend(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def serve(self):
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        env = dict(os.environ, GIT_PROJECT_ROOT=root, GIT_HTTP_EXPORT_ALL="1", PATH_INFO=path, QUERY_STRING=query,
                   REQUEST_METHOD=self.command, CONTENT_TYPE=self.headers.get("Content-Type", ""),
                   CONTENT_LENGTH=str(len(body)), HTTP_CONTENT_ENCODING=self.headers.get("Content-Encoding", ""))
        child = subprocess.Popen(["git", "http-backend"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        child.stdin.write(body)
        child.stdin.close()
        status, headers = 200, []
        while (line := child.stdout.readline().strip()):
            name, _, value = line.decode().partition(": ")
            if name == "Status":
                status = int(value.split()[0])
            else:
                headers.append((name, value))
        self.send_response(status)
        for header in headers:
            self.send_header(*header)
        self.send_header("Connection", "close")
        self.end_headers()
        while (chunk := child.stdout.read(1 << 16)):
            self.wfile.write(chunk)
        child.wait()
        self.close_connection = True

    do_GET = do_POST = serve

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Backend)
print(server.server_port, flush=True)
server.serve_forever()
PY
server=$!
read -r port < "$dir/port"
url="http://127.0.0.1:$port/load/history.git"

now() { date +%s%N; }
times=()
for round in 1 2 3; do
    begin=$(now)
    git -c protocol.version=2 clone --quiet "$url" "$dir/clone-$round"
    times+=($((($(now) - begin) / 1000000)))
    rm -rf "$dir/clone-$round"
done
clone=$(printf '%s\n' "${times[@]}" | sort -n | sed -n 2p)
echo "clone_ms=$clone"
"$bench" "$url" "$dir/ours" "$ROUNDS" | tee "$dir/figures"
ours=$(sed -n 's/^workspace_ms=//p' "$dir/figures")
git -C "$dir/ours/workspace-$((ROUNDS - 1))" status --porcelain | (! grep .) || { echo "the workspace is not clean" >&2; exit 1; }
python3 -c "print(f'workspace of $COMMITS commits, $(du -sm "$dir/load/history.git" | cut -f1) MB | $ours ms | git clone $clone ms | {$clone / $ours:.1f}× | ≥ 10×')"
