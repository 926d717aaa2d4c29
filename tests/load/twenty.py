#!/usr/bin/env python3
"""Twenty issues labelled at once, two jobs at a time, the process runner: time a pull request."""

import os
import time

import lib

COUNT, ROUNDS = int(os.environ.get("ISSUES", 20)), int(os.environ.get("ROUNDS", 3))


def once(forge, server, repository):
    forge.do("repository", name=repository, files=lib.workflow('date > "$(basename "$CLOUD_CODE_PROMPT_FILE")-done.txt"'))
    issues = forge.do("issues", repository=repository, count=COUNT)["issues"]
    before = lib.cpu_seconds(server.process.pid)
    start = time.monotonic()
    for issue in issues:
        forge.do("label", repository=repository, issue=issue, label="cloud-code")
    if forge.do("pulls", repository=repository, count=COUNT, seconds=180)["pulls"] < COUNT:
        raise SystemExit("load: not every issue has its pull request")
    took = time.monotonic() - start
    return took, lib.cpu_seconds(server.process.pid) - before


def main():
    with lib.folder() as directory, lib.forge() as forge, \
            lib.server(forge.about, directory / "server", CONCURRENCY=2) as server:
        forge.do("webhook", url=server.url + "/webhooks/github/", secret=lib.SECRET)
        rounds = [once(forge, server, f"load/twenty-{n}") for n in range(ROUNDS)]
        took, busy = min(rounds)
        lib.figure(f"{COUNT} issues at once, time a pull request", f"{took / COUNT * 1000:.0f} ms ({took:.1f} s in all)")
        lib.figure("the server's processor time a pull request", f"{busy / COUNT * 1000:.0f} ms")


main()
