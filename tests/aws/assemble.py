"""Lays out what `sam build` would, from functions that cargo has built on this machine: for `sam local` without a release build.

    python tests/aws/assemble.py PROGRAMS BUILD_DIR        e.g. target/debug target/sam
"""
import pathlib
import re
import shutil
import sys

programs, build = map(pathlib.Path, sys.argv[1:])
template = (pathlib.Path(__file__).parents[2] / "infra/template.yaml").read_text()
for name in ["Webhook", "Dispatcher", "Reporter", "Sweeper", "Console"]:
    (build / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(programs / name.lower(), build / name / "bootstrap")
    metadata = re.compile(rf"(\n  {name}:\n    Type: AWS::Serverless::Function\n)    Metadata: .*\n    Properties:\n")
    template, count = metadata.subn(rf"\1    Properties:\n      CodeUri: {name}\n", template)
    assert count == 1, name
(build / "template.yaml").write_text(template)
