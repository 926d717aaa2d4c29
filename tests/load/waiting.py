#!/usr/bin/env python3
"""What waiting runs cost: memory, the first page, a sweep, the processor. Idle first, then COUNTS (1000 10000) runs behind one
job that blocks."""

import os
import re
import statistics
import time

import lib

COUNTS = [int(count) for count in os.environ.get("COUNTS", "1000 10000").split()]
# The shell ends when its file goes, and by itself after about ten minutes.
BLOCK = 'n=0; while [ -e {hold} ] && [ $((n += 1)) -lt 3000 ]; do sleep 0.2; done'


# An installation has 5,000 requests an hour, and a run needs about nine before its job starts: the runs are of several owners, as
# they would have to be.
SHARE = 250


def label_issues(forge, repository, count, command):
    forge.do("repository", name=repository, files=lib.workflow(command))
    for issue in forge.do("issues", repository=repository, count=count)["issues"]:
        forge.do("label", repository=repository, issue=issue, label="cloud-code")


def settled(server, count):
    """All runs are there, nothing of theirs is under way any more, and one job runs."""
    runs = server.query("SELECT COUNT(*) FROM runs")[0][0]
    busy = server.query("SELECT COUNT(*) FROM messages WHERE lane <> 'launches' AND state IN ('ready', 'leased', 'delayed')")[0][0]
    return runs == count and busy == 0


def page_ms(server, path):
    times = []
    for _ in range(30):
        start = time.perf_counter()
        server.get(path)
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def sweep_ms(server):
    log = server.data.with_name(server.data.name + ".log")
    times = re.findall(r"swept.*?elapsed_ms=([0-9.]+)", re.sub(r"\x1b\[[0-9;]*m", "", log.read_text()))
    return f"{statistics.median(float(one) for one in times[-5:]):.1f} ms" if times else "?"


def measure(server, what):
    rss = lib.memory_mb(server.process.pid)
    cpu = lib.cpu_share(server.process.pid, 15)
    lib.figure(f"memory, {what}", f"{rss:.1f} MB", target="30 MB" if what == "idle" else "-")
    lib.figure(f"processor, {what}", f"{cpu:.1f} % of a core", target="near 0")
    lib.figure(f"first page, {what}", f"API {page_ms(server, '/api/v1/runs'):.1f} ms, page {page_ms(server, '/'):.1f} ms")
    lib.figure(f"sweep, {what}", sweep_ms(server))


def main():
    with lib.folder() as directory, lib.forge() as forge:
        hold, data = directory / "hold", directory / "server"
        hold.touch()
        try:
            # A sweep is once a minute by default; more often here, to see several.
            with lib.server(forge.about, data, CONCURRENCY=1, LEASE_SECONDS=3600, SWEEP_SECONDS=5,
                            LOG="warn,cloud_code::entry::worker=debug") as server:
                time.sleep(6)
                measure(server, "idle")
                forge.do("webhook", url=server.url + "/webhooks/github/", secret=lib.SECRET)
                there = 0
                for count in COUNTS:
                    start = time.monotonic()
                    for first in range(there, count, SHARE):
                        label_issues(forge, f"load-{first}/waiting", min(SHARE, count - first), BLOCK.format(hold=hold))
                    refused = forge.do("delivered")["refused"]
                    accepted = time.monotonic() - start
                    lib.until(f"{count} runs", lambda: settled(server, count), seconds=900, pause=0.5)
                    lib.note(f"{count - there} issues, {refused} refused: accepted within {accepted:.1f} s, "
                             f"runs and first comments there after {time.monotonic() - start:.1f} s")
                    there = count
                    time.sleep(3)
                    measure(server, f"{count:,} runs wait")
        finally:
            hold.unlink(missing_ok=True)
            lib.until("the agents' end", lambda: not lib.left_over(data), seconds=30, pause=0.2)


main()
