"""What the load scripts share: a GitHub on loopback, a server, signed payloads, a look at processes, one line a figure."""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
PROGRAM = TARGET / "release" / "cloud-code"
FORGE = TARGET / "release" / "examples" / "load_forge"
SECRET = "the load test's webhook secret"
TOKEN = "load-token-of-sixteen-or-more"
PATIENCE = 60  # seconds, for anything that is not timed


def figure(name, ours, beside="-", ratio="-", target="-"):
    """Prints the one line of a figure."""
    print(f"{name} | {ours} | {beside} | {ratio} | {target}", flush=True)


def note(text):
    print(text, file=sys.stderr, flush=True)


def until(what, look, seconds=PATIENCE, pause=0.01):
    """Looks again until it sees something; gives up aloud."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            sys.exit(f"load: {what} did not come within {seconds} s")
        time.sleep(pause)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return reply.status == 200
    except OSError:
        return False


@contextlib.contextmanager
def folder():
    """A folder on the disk of the build, not on a tmpfs: the figures count syncs."""
    base = TARGET / "load"
    base.mkdir(parents=True, exist_ok=True)
    path = pathlib.Path(tempfile.mkdtemp(dir=base))
    path.chmod(0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def started(command, **options):
    """A process that is stopped at the end, by its own id."""
    process = subprocess.Popen([str(part) for part in command], **options)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Forge:
    """The GitHub, see forge.rs."""

    def __init__(self, process):
        self.process = process
        self.about = json.loads(process.stdout.readline())

    def do(self, what, **order):
        self.process.stdin.write(json.dumps({what: order} if order else what) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@contextlib.contextmanager
def forge():
    with started([FORGE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Forge(process)


class Server:
    def __init__(self, process, port, data):
        self.process, self.port, self.data = process, port, data
        self.url = f"http://127.0.0.1:{port}"

    def get(self, path):
        """The API takes the token as it is, the pages as a browser gives it."""
        basic = base64.b64encode(f"any:{TOKEN}".encode()).decode()
        credentials = f"Bearer {TOKEN}" if path.startswith("/api/") else f"Basic {basic}"
        request = urllib.request.Request(self.url + path, headers={"Authorization": credentials})
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.read()

    def query(self, sql):
        """Reads the database beside the server."""
        with contextlib.closing(sqlite3.connect(f"file:{self.data}/cloud-code.db?mode=ro", uri=True)) as database:
            return database.execute(sql).fetchall()


@contextlib.contextmanager
def server(about, data, **settings):
    """`cloud-code serve` for the GitHub that `about` describes; `settings` are further variables."""
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "LISTEN_ADDR": f"127.0.0.1:{port}",
        "API_TOKENS": TOKEN,
        "DATA_DIR": str(data),
        "RUNNER": "process",
        "LOG": "error",
        "GITHUB_WEBHOOK_SECRET": SECRET,
        "GITHUB_URL": about["url"],
        "GITHUB_API_URL": about["api_url"],
        "GITHUB_APP_ID": str(about["app_id"]),
        "GITHUB_APP_NAME": about["slug"],
        "GITHUB_PRIVATE_KEY": about["private_key"],
        **{name: str(value) for name, value in settings.items()},
    }
    with open(f"{data}.log", "ab") as log, started([PROGRAM, "serve"], env=environment, stdout=log, stderr=log) as process:
        it = Server(process, port, data)
        until("the server", lambda: answers(it.url + "/healthz"))
        yield it


def payload():
    """A compact `issues` `opened` event of about 10 kB: the file WEBHOOK_PAYLOAD, else one of that shape."""
    given = os.environ.get("WEBHOOK_PAYLOAD")
    if given:
        event = json.loads(pathlib.Path(given).read_text())
    else:
        links = lambda kind: {f"{kind}_{n}_url": f"https://api.github.com/repos/acme/shop/{kind}/{n}{{/other}}" for n in range(30)}
        user = {"login": "ada", "id": 7, "type": "User", "site_admin": False, **links("user")}
        event = {
            "action": "opened",
            "issue": {"id": 1, "number": 1, "title": "A title", "user": user, "labels": [], "state": "open", "body": "A text. " * 100},
            "repository": {"id": 2, "name": "shop", "full_name": "acme/shop", "private": True, "default_branch": "main", "owner": user, **links("repository")},
            "sender": user,
        }
    return json.dumps(event, separators=(",", ":")).encode()


def signature(body):
    return "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


def memory_mb(pid, field="VmRSS"):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    return 0.0


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_share(pid, seconds):
    """Percent of one core within the next `seconds`."""
    before, start = cpu_seconds(pid), time.monotonic()
    time.sleep(seconds)
    return 100 * (cpu_seconds(pid) - before) / (time.monotonic() - start)


def workflow(command):
    """A repository's files whose one agent step is a line of shell."""
    steps = "\n".join("            " + line for line in command.strip().splitlines())
    text = (
        "name: implement\non:\n  issues: { types: [labeled] }\njobs:\n  implement:\n    timeout-minutes: 20\n    steps:\n"
        f"      - uses: agent\n        with:\n          cli: script\n          command: |\n{steps}\n"
    )
    return {"README.md": "# Load\n", ".cloud-code/implement.yml": text}


def left_over(mark):
    """Processes that have `mark` in their environment: agents of ours."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if str(mark).encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found
