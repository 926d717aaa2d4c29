#!/usr/bin/env python3
"""The agent: size, start-up, memory while a step runs and while 100 MB of log go through it."""

import os
import pathlib
import subprocess
import time

import lib

TRIPLE = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout.split("host: ")[1].split()[0]
AGENT = pathlib.Path(os.environ.get("AGENT", lib.TARGET / TRIPLE / "release" / "cloud-code-agent"))


def git(directory, *arguments):
    identity = ["-c", "user.name=Load", "-c", "user.email=load@example.com"]
    return subprocess.run(["git", *identity, *arguments], cwd=directory, check=True, capture_output=True, text=True).stdout.strip()


def attempt(directory, name, command):
    """Runs a tasking of one step; seconds it took, and the most memory (MB) the agent's own process had."""
    root = directory / name
    (root / "work/.cloud-code").mkdir(parents=True)
    (root / "tmp").mkdir()
    work = root / "work"
    git(work, "init", "-q", "-b", "main")
    (work / "README.md").write_text("hello\n")
    git(work, "add", "README.md")
    git(work, "commit", "-q", "-m", "first")
    git(work, "checkout", "-q", "-b", "cloud-code/load")
    (work / ".cloud-code/tasking.yaml").write_text(
        f"version: 1\nrun: r-1\njob: implement\nattempt: 1\nclosed: true\ntasks:\n  - id: t1\n    repository: {{ owner: load, name: agent, default_branch: main }}\n"
        f"    base: {git(work, 'rev-parse', 'HEAD')}\n    branch: cloud-code/load\n    steps:\n      - run: |\n          {command}\n")
    environment = {"PATH": os.environ["PATH"], "HOME": str(root / "tmp"), "TMPDIR": str(root / "tmp"), "CLOUD_CODE_WORKSPACE": str(work)}
    start = time.perf_counter()
    most = 0.0
    with lib.started([AGENT], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            try:
                most = max(most, lib.memory_mb(process.pid, "VmHWM"))
            except OSError:
                break
            if time.perf_counter() - start > 120:
                raise SystemExit("load: the agent did not end")
            time.sleep(0.002)
        process.wait(10)
    took = time.perf_counter() - start
    report = (work / ".cloud-code/reporting.yaml").read_text()
    if "status: completed" not in report or "conclusion: failure" in report:
        raise SystemExit(f"load: the agent's report:\n{report}")
    return took, most


def main():
    megabytes = AGENT.stat().st_size / 1e6
    lib.figure("cloud-code-agent, static", f"{megabytes:.1f} MB", target="10 MB")
    lib.figure("cloud-code", f"{lib.PROGRAM.stat().st_size / 1e6:.1f} MB")
    starts = []
    with lib.folder() as directory:
        for _ in range(20):
            # No task there: it starts, looks, says so and ends.
            start = time.perf_counter()
            subprocess.run([AGENT], env={"CLOUD_CODE_WORKSPACE": str(directory)}, capture_output=True, check=False)
            starts.append((time.perf_counter() - start) * 1000)
        lib.figure("agent, start to end without a task", f"{min(starts):.1f} ms")
        took, memory = attempt(directory, "quiet", "sleep 1")
        lib.figure("agent's memory, a quiet step", f"{memory:.1f} MB", target="15 MB")
        lib.figure("agent, all but the step", f"{(took - 1) * 1000:.0f} ms")
        for megabytes in (10, 100):
            line = "y" * 99
            took, memory = attempt(directory, f"flood-{megabytes}", f"(yes {line} || true) | head -c {megabytes}000000")
            lib.figure(f"agent's memory, {megabytes} MB of log ({megabytes / took:.0f} MB/s)", f"{memory:.1f} MB", target="15 MB, flat")


main()
