#!/usr/bin/env python3
"""Webhooks a second, beside FastAPI + Celery + Redis: 64 connections, one machine, one server at a time.

ROUNDS (3) rounds of SECONDS (6) for each, in turns, as many for one as for the other; the best round of each counts. Both are durable: ours answers after a commit
of SQLite with synchronous=FULL, the peer after Redis with appendfsync always. Ours also handles the deliveries meanwhile (nobody
needs them: it decides so and records why); the peer has no worker running, which leaves it both cores.
"""

import json
import os
import resource
import subprocess
import sys
import urllib.request

import lib

CONNECTIONS, ROUNDS, SECONDS = 64, int(os.environ.get("ROUNDS", 3)), int(os.environ.get("SECONDS", 6))


def wrk(url, body_file, body, round_name, sign=lib.signature):
    environment = dict(os.environ, LOAD_BODY=str(body_file), LOAD_SIGNATURE=sign(body), LOAD_ROUND=round_name)
    script = lib.ROOT / "tests/load/webhook.lua"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--timeout", "10s", "-s", str(script), url]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = json.loads(output.strip().splitlines()[-1])
    result["rate"] = result["requests"] / result["seconds"]
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    result["generator_percent"] = 100 * busy / result["seconds"]
    return result


def first(url, body):
    """One delivery by hand: wrk counts, it does not read."""
    headers = {"X-Hub-Signature-256": lib.signature(body), "X-GitHub-Event": "issues", "Content-Type": "application/json",
               "X-GitHub-Delivery": "first"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as reply:
        if reply.status != 202:
            sys.exit(f"load: {url} answers {reply.status}")


def ours(about, directory, body_file, body, name):
    with lib.server(about, directory / name) as server:
        url = server.url + "/webhooks/github/"
        first(url, body)
        result = wrk(url, body_file, body, name)
        stored = server.query("SELECT COUNT(*) FROM messages WHERE lane = 'deliveries'")[0][0]
        # wrk drops the answers that were under way at its end, and may have sent what it does not count.
        if result["errors"] or not result["requests"] <= stored - 1 <= result["requests"] + CONNECTIONS:
            sys.exit(f"load: {result['requests']} accepted, {stored} stored, {result['errors']} errors")
        result["rss_mb"] = lib.memory_mb(server.process.pid)
        return result


def refused(about, directory, body_file, body):
    """The ceiling of generator, HTTP and HMAC: wrongly signed, so that nothing is stored."""
    with lib.server(about, directory / "refused") as server:
        return wrk(server.url + "/webhooks/github/", body_file, body, "r", lambda body: "sha256=" + "0" * 64)


def peer(directory, body_file, body, name, threads):
    venv = lib.TARGET / "load" / "venv" / "bin"
    store = directory / name
    store.mkdir()
    redis_port, port = lib.free_port(), lib.free_port()
    redis = ["redis-server", "--bind", "127.0.0.1", "--port", redis_port, "--dir", store, "--appendonly", "yes",
             "--appendfsync", "always", "--save", "", "--loglevel", "warning"]
    environment = dict(os.environ, LOAD_SECRET=lib.SECRET, LOAD_REDIS=f"redis://127.0.0.1:{redis_port}/0", LOAD_THREADS=str(threads))
    app = [venv / "uvicorn", "app:app", "--host", "127.0.0.1", "--port", port, "--workers", "2", "--loop", "uvloop",
           "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    with lib.started(redis, stdout=subprocess.DEVNULL), \
            lib.started(app, cwd=lib.ROOT / "tests/load/peer", env=environment):
        url = f"http://127.0.0.1:{port}/webhooks/github/"
        lib.until("the peer", lambda: lib.answers(f"http://127.0.0.1:{port}/healthz"))
        first(url, body)
        result = wrk(url, body_file, body, name)
        length = subprocess.run(["redis-cli", "-p", str(redis_port), "llen", "celery"], check=True, capture_output=True, text=True)
        if result["errors"] or int(length.stdout) - 1 < result["requests"]:
            sys.exit(f"load: the peer queued {length.stdout.strip()} of {result['requests']}, {result['errors']} errors")
        return result


def main():
    body = lib.payload()
    with lib.folder() as directory, lib.forge() as forge:
        body_file = directory / "body.json"
        body_file.write_bytes(body)
        mine, theirs = [], []
        for n in range(ROUNDS):
            mine.append(ours(forge.about, directory, body_file, body, f"ours-{n}"))
            theirs.append(peer(directory, body_file, body, f"peer-{n}", 1))
            lib.note(f"round {n}: ours {mine[-1]}\n         peer {theirs[-1]}")
        # As most would write it: the broker's answer is waited for on the event loop.
        lib.note(f"the peer without a thread pool: {peer(directory, body_file, body, 'plain', 0)}")
        lib.note(f"ceiling: {refused(forge.about, directory, body_file, body)}")
    a, b = max(mine, key=lambda one: one["rate"]), max(theirs, key=lambda one: one["rate"])
    size = f"{len(body) / 1000:.1f} kB"
    pairs = [f"{x['rate'] / y['rate']:.1f}×" for x, y in zip(mine, theirs)]
    lib.note("ratios of the rounds by themselves: " + ", ".join(pairs))
    lib.figure(f"webhooks accepted a second ({size}, {CONNECTIONS} connections)", f"{a['rate']:.0f}", f"FastAPI + Celery + Redis {b['rate']:.0f}",
               f"{a['rate'] / b['rate']:.1f}×", "≥ 10×")
    lib.figure("webhook p50", f"{a['p50_ms']:.1f} ms", f"{b['p50_ms']:.1f} ms", f"{b['p50_ms'] / a['p50_ms']:.1f}×")
    lib.figure("webhook p99", f"{a['p99_ms']:.1f} ms", f"{b['p99_ms']:.1f} ms (its p50: {b['p50_ms']:.1f} ms)",
               f"{b['p99_ms'] / a['p99_ms']:.1f}×", "under its p50")
    lib.figure("wrk's own share of a core", f"{a['generator_percent']:.0f} %", f"{b['generator_percent']:.0f} %")


main()
