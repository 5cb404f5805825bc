"""`make simulate AGENTS=1000 CHUNKS=100000`: a farm of simulated agents; prints a table, and JSON with --json FILE."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import sys
from pathlib import Path

from bench.simulator import report
from bench.simulator.options import Options
from bench.simulator.run import simulate

SPARE_FILES = 256
FILES_PER_AGENT = 4
"""Two connections to the Manager, one to Redis, one spare."""


def main() -> int:
    """Run, print, and fail when the invariant did not hold."""
    parser = argparse.ArgumentParser(prog="python -m bench.simulator", description=__doc__)
    parser.add_argument("--json", type=Path, help="write everything to this file, too")
    for field in dataclasses.fields(Options):
        kind = Path if field.name == "data" else type(field.default)
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default)
    given = vars(parser.parse_args())
    target = given.pop("json")
    options = Options(**given)
    os.environ.pop("BLENDNET_DATA", None)
    allow_files(options.agents * FILES_PER_AGENT + SPARE_FILES)
    found = report.as_json(simulate(options))
    print("\n".join(report.lines(found)))
    if target:
        target.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return 1 if found["problems"] else 0


def allow_files(count: int) -> None:
    """Let this process, and the service it starts, have so many files open at once. Raises ValueError if it may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (count, max(hard, count) if hard != resource.RLIM_INFINITY else hard)
        )


if __name__ == "__main__":
    sys.exit(main())
