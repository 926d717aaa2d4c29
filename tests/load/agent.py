#!/usr/bin/env python3
"""The agent: size, start-up beside starting the same command bare, memory while a step runs and while 100 MB of log go through it, how fast
secrets are masked beside `cat` and beside a plain replace, and the images' sizes (where Docker has them)."""

import os
import pathlib
import shutil
import subprocess
import time

import lib

TRIPLE = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout.split("host: ")[1].split()[0]
AGENT = pathlib.Path(os.environ.get("AGENT", lib.TARGET / TRIPLE / "release" / "cloud-code-agent"))


def git(directory, *arguments):
    identity = ["-c", "user.name=Load", "-c", "user.email=load@example.com"]
    return subprocess.run(["git", *identity, *arguments], cwd=directory, check=True, capture_output=True, text=True).stdout.strip()


SECRETS = {"ONE": "swordfish-4711-abcdef", "TWO": "p&ss\"w<rd>' 0815", "THREE": "sk-ant-0123456789-abcdefghijklmnopqrstuvwxyz"}


def attempt(directory, name, command, secrets=None):
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
    if secrets:
        environment |= secrets | {"CLOUD_CODE_SECRETS": ",".join(secrets)}
    # All of it is to be written.
    environment["CLOUD_CODE_LOG_BYTES"] = "1000000000"
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


def first_output(directory):
    """Milliseconds from the agent's start to the first output of its step, and of the same command from a shell; the best of ten each."""
    ours, bare = [], []
    for number in range(10):
        stamp = directory / f"stamp-{number}"
        start = time.time_ns()
        attempt(directory, f"first-{number}", f"date +%s%N > {stamp}")
        ours.append((int(stamp.read_text()) - start) / 1e6)
        start = time.time_ns()
        said = subprocess.run(["bash", "-c", "date +%s%N"], check=True, capture_output=True, text=True).stdout
        bare.append((int(said) - start) / 1e6)
    return min(ours), min(bare)


def masking(directory):
    """100 MB through a step with three secrets, through `cat`, and through `sed` with one of the secrets; seconds, the best of three each."""
    lines = f"building {'y' * 60} done 42%"
    make = f"(yes '{lines}' || true) | head -c 100000000"
    times = {"agent": [], "cat": [], "sed": []}
    for number in range(3):
        took, _ = attempt(directory, f"mask-{number}", make, SECRETS)
        times["agent"].append(took)
        shutil.rmtree(directory / f"mask-{number}")
        for name, command in [("cat", f"{make} | cat"), ("sed", f"{make} | LC_ALL=C sed 's/{SECRETS['ONE']}/***/g'")]:
            start = time.perf_counter()
            with open(directory / name, "wb") as out:
                subprocess.run(["bash", "-c", command], stdout=out, check=True)
            times[name].append(time.perf_counter() - start)
    return {name: min(taken) for name, taken in times.items()}


def images():
    """The agent images' sizes, smallest first."""
    if shutil.which("docker") is None:
        return
    listed = subprocess.run(["docker", "images", "--format", "{{.Repository}}:{{.Tag}} {{.Size}}"], check=False, capture_output=True, text=True).stdout
    for line in sorted(listed.splitlines()):
        name, size = line.split(" ", 1)
        if name.startswith("cloud-code-agent-") and name.endswith(":latest"):
            lib.figure(f"image {name.removesuffix(':latest')}", size)


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
        ours, bare = first_output(directory)
        lib.figure("agent's start to its step's first output", f"{ours:.0f} ms", f"from bash: {bare:.0f} ms", f"{ours / bare:.1f}x")
        times = masking(directory)
        for beside in ("cat", "sed"):
            ratio = times["agent"] / times[beside]
            lib.figure("100 MB through a step, three secrets masked", f"{times['agent']:.2f} s", f"{beside}: {times[beside]:.2f} s", f"{ratio:.1f}x")
    images()


main()
