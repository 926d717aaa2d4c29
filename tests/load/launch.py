#!/usr/bin/env python3
"""From the label to the first step's first command in a container, beside a bare `docker run` of the same image with the same limits.

ROUNDS (7) of each, in turns, the mirror warm; the best counts, the median is told. Needs Docker and the image IMAGE
(cloud-code-agent-script: scripts/build-agents.sh script).
"""

import json
import os
import re
import statistics
import subprocess
import time

import lib

IMAGE, ROUNDS = os.environ.get("IMAGE", "cloud-code-agent-script"), int(os.environ.get("ROUNDS", 7))
LIMITS = ("--read-only --cap-drop ALL --security-opt no-new-privileges --memory 4g --memory-swap 4g --cpus 2 --pids-limit 1024 "
          "--user 1000:1000 --ulimit nofile=4096 --ulimit core=0 --tmpfs /tmp:rw,exec,nosuid,nodev,mode=1777 "
          "--tmpfs /home/agent:rw,exec,nosuid,nodev,mode=0700,uid=1000,gid=1000 --log-opt max-size=16m --log-opt max-file=2").split()


def docker_run():
    """When its command ran, and when all was over, in ms from the start."""
    start = time.time()
    command = ["docker", "run", "--rm", *LIMITS, "--entrypoint", "date", IMAGE, "+%s.%N"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return (float(output) - start) * 1000, (time.time() - start) * 1000


def events(since):
    """What the daemon says of the containers since then: create and start, by Unix time."""
    command = ["docker", "events", "--since", f"{since:.6f}", "--until", f"{time.time():.6f}", "--format", "{{json .}}", "--filter", "type=container"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    seen = {}
    for event in map(json.loads, lines):
        if event["Actor"]["Attributes"].get("cloud-code.job"):
            seen.setdefault(event["Action"], event["timeNano"] / 1e9)
    return seen


def ours(forge, server, repository, issue, round_number):
    start = time.time()
    forge.do("label", repository=repository, issue=issue, label="cloud-code")
    forge.do("delivered")
    accepted = time.time()
    wanted = round_number + 1
    if forge.do("pulls", repository=repository, count=wanted, seconds=60)["pulls"] < wanted:
        raise SystemExit("load: the run did not open its pull request")
    pulled = time.time()
    diff = forge.do("diff", repository=repository, pull=ISSUES + wanted)["diff"]
    stepped = float(re.search(r"^\+(\d+\.\d+)$", diff, re.M).group(1))
    lib.until("the run's end", lambda: not server.query("SELECT 1 FROM runs WHERE status <> 'completed'"))
    created = server.query("SELECT MAX(created_at) FROM runs")[0][0] / 1e9
    seen = events(start)
    return {
        "total": (stepped - start) * 1000,
        "202": (accepted - start) * 1000,
        "decided": (created - start) * 1000,
        "container made": (seen["create"] - start) * 1000,
        "container started": (seen["start"] - start) * 1000,
        "first command": (stepped - start) * 1000,
        "pull request": (pulled - start) * 1000,
    }


ISSUES = ROUNDS + 1


def measure(network):
    with lib.folder() as directory, lib.forge() as forge, \
            lib.server(forge.about, directory / "server", RUNNER="docker", CONCURRENCY=1, NETWORK=network) as server:
        repository = "load/launch"
        forge.do("repository", name=repository, files=lib.workflow("date +%s.%N > started.txt"))
        forge.do("webhook", url=server.url + "/webhooks/github/", secret=lib.SECRET)
        issues = forge.do("issues", repository=repository, count=ISSUES)["issues"]
        ours(forge, server, repository, issues[0], 0)  # makes the mirror
        mine, theirs, whole = [], [], []
        for n in range(1, ROUNDS + 1):
            mine.append(ours(forge, server, repository, issues[n], n))
            first, all_of_it = docker_run()
            theirs.append(first)
            whole.append(all_of_it)
    best = min(mine, key=lambda one: one["total"])
    lib.note(f"{network}: where the best one's time went, ms since the label: " + ", ".join(f"{name} {value:.0f}" for name, value in best.items()))
    lib.note(f"{network}: medians: ours {statistics.median(one['total'] for one in mine):.0f}, docker run {statistics.median(theirs):.0f} to its "
             f"command, {statistics.median(whole):.0f} with its removal")
    overhead = best["total"] - min(theirs)
    lib.figure(f"label to first command in the container, network {network}", f"{best['total']:.0f} ms",
               f"docker run to its command {min(theirs):.0f} ms", f"{best['total'] / min(theirs):.2f}×")
    # A bare `docker run` has an open network: that is the like of it.
    lib.figure(f"what we add to a docker run, network {network}", f"{overhead:.0f} ms", f"docker run --rm, whole {min(whole):.0f} ms",
               f"{overhead / min(whole):.2f}×", *(["< 0.5×"] if network == "open" else []))
    lib.figure(f"label to pull request, Docker, network {network}", f"{min(one['pull request'] for one in mine):.0f} ms")


for kind in ("open", "restricted"):
    measure(kind)
