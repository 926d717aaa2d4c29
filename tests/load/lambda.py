#!/usr/bin/env python3
"""Cold and warm starts of the webhook function under Lambda's runtime interface emulator, beside a Node.js function that does less.

    python tests/load/lambda.py BUILD_DIR [ROUNDS]      with a Python that has moto, aws-sam-cli and aws-sam-translator

BUILD_DIR is what `sam build` left. Both functions talk to the same stand-ins for AWS on this machine: first to moto, which takes milliseconds for
each of their calls, of which ours makes more; then to one that answers at once and alike, so that the functions themselves are measured. `cold`
is from the first request to its answer: the emulator starts the function then. Needs node and npm.
"""
import glob
import hashlib
import http.server
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import boto3
import samcli

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECRET = "webhook-secret-of-sam-local-4711"


def post(url, data):
    return urllib.request.urlopen(urllib.request.Request(url, data), timeout=30).read()


def moto():
    process = subprocess.Popen(
        [sys.executable, ROOT / "tests/aws/moto_server.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL
    )
    return process, f"http://127.0.0.1:{process.stdout.readline().strip()}"


class Instant(http.server.BaseHTTPRequestHandler):
    """Answers as AWS would where all goes well, and remembers nothing."""

    protocol_version = "HTTP/1.1"
    # Head and body in one packet.
    wbufsize = 65536

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        action = self.headers.get("x-amz-target", "").split(".")[-1]
        answer = {}
        if action == "GetSecretValue":
            answer = {"Name": "s", "SecretString": json.dumps({"GITHUB_WEBHOOK_SECRET": SECRET})}
        if action == "SendMessage":
            answer = {"MessageId": "m", "MD5OfMessageBody": hashlib.md5(json.loads(body)["MessageBody"].encode()).hexdigest()}
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/x-amz-json-1.0")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


def instant():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Instant)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def children(pid):
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    return [int(child) for child in found]


def memory_mb(pid):
    """The largest resident set of what the emulator started."""
    sizes = []
    for child in children(pid):
        for line in pathlib.Path(f"/proc/{child}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                sizes.append(int(line.split()[1]) / 1024)
        sizes.append(memory_mb(child))
    return max(sizes, default=0.0)


def measure(name, command, environment, rounds, port):
    rie = glob.glob(os.path.join(os.path.dirname(samcli.__file__), "local/rapid/aws-lambda-rie-x86_64"))[0]
    event = json.loads((ROOT / "infra/events/webhook.json").read_text())
    cold, warm, size = [], [], 0
    for number in range(rounds):
        environ = {"PATH": os.environ["PATH"], "AWS_LAMBDA_FUNCTION_NAME": name, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256", **environment}
        process = subprocess.Popen(
            [rie, "--runtime-interface-emulator-address", f"127.0.0.1:{port + number}", *command],
            env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        url = f"http://127.0.0.1:{port + number}/2015-03-31/functions/function/invocations"
        try:
            while True:
                try:
                    urllib.request.urlopen(url.rsplit("/2015", 1)[0], timeout=1)
                except urllib.error.HTTPError:
                    break
                except OSError:
                    time.sleep(0.02)
                    continue
                break
            for again in range(20):
                event["headers"]["x-github-delivery"] = f"{name}-{number}-{again}"
                began = time.perf_counter()
                answer = json.loads(post(url, json.dumps(event).encode()))
                (warm if again else cold).append((time.perf_counter() - began) * 1000)
                assert answer["statusCode"] == 202, answer
            size = max(size, memory_mb(process.pid))
        finally:
            process.kill()
            process.wait()
            for child in children(process.pid):
                os.kill(child, 9)
    print(f"{name:8} cold {statistics.median(cold):7.1f} ms (of {rounds}: {min(cold):.0f} to {max(cold):.0f}), "
          f"warm {statistics.median(warm):5.1f} ms, {size:.0f} MB")
    return statistics.median(cold)


def main():
    build, rounds = pathlib.Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) > 2 else 10
    aws, here = moto()
    work = pathlib.Path(tempfile.mkdtemp())
    try:
        keys = {"AWS_ACCESS_KEY_ID": "load", "AWS_SECRET_ACCESS_KEY": "load", "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1"}
        os.environ.update(keys)
        secrets = boto3.client("secretsmanager", endpoint_url=here)
        secrets.create_secret(Name="cloud-code/webhook", SecretString=json.dumps({"GITHUB_WEBHOOK_SECRET": SECRET}))
        request = {"template": str(ROOT / "infra/template.yaml"), "stack": "load", "parameters": {"GitHubAppId": "1", "GitHubAppName": "x"}}
        made = json.loads(post(f"{here}/_test/deploy", json.dumps(request).encode()))
        environment = {key: str(value) for key, value in made["functions"]["Webhook"]["environment"].items()}
        for name in ("node.mjs", "package.json"):
            shutil.copy(ROOT / "tests/load/lambda" / name, work)
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=work, check=True)
        bootstrap, node = str(build / "Webhook/bootstrap"), [shutil.which("node"), str(work / "node.mjs")]
        for number, (kind, there) in enumerate([("moto", here), ("instant", instant())]):
            common, port = {**keys, "AWS_ENDPOINT_URL": there}, 18080 + 2000 * number
            print(f"AWS played by {kind}:")
            ours = measure("webhook", [bootstrap], {**environment, **common, "LOG": "warn"}, rounds, port)
            queue = {"QUEUE": f"{there}/123456789012/load-deliveries", "GITHUB_WEBHOOK_SECRET": SECRET}
            theirs = measure("node", node, {**common, **queue}, rounds, port + 1000)
            print(f"ours begins {theirs / ours:.1f} times as quickly")
    finally:
        aws.stdin.close()
        shutil.rmtree(work)


main()
