"""`make chaos`: a real farm under faults of every kind for some time; a table of what it took.

python -m tests.chaos --minutes 10 --seed 1 --rate 5
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TextIO

from blendnet.agent import blenders
from blendnet.settings import get_settings
from tests.chaos.report import plan_of, table, to_json
from tests.chaos.session import Session


def main() -> int:
    """Run; the exit status is 1 when anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long, about")
    parser.add_argument("--seed", default="1", help="the same seed plans the same faults")
    parser.add_argument("--rate", type=float, default=5.0, help="seconds between faults on average")
    parser.add_argument("--kinds", default="", help="words of kinds of faults, separated by commas; none: all")
    parser.add_argument("--alone", action="store_true", help="never several faults at the same moment")
    parser.add_argument("--scene", default="", help="a .blend to render small; none: Blender's own start-up scene")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the Manager")
    parser.add_argument("--json", type=Path, help="write every fault and number to this file")
    options = parser.parse_args()
    session = Session(
        build=blenders.find(get_settings().blender, get_settings().blenders_dir),
        source=options.scene,
        seed=options.seed,
        rate_s=options.rate,
        wanted=[word for word in options.kinds.split(",") if word],
        combine=not options.alone,
        settings=dict(setting.split("=", 1) for setting in options.set),
        after_batch=lambda batches: options.json and options.json.write_text(json.dumps(to_json(batches), indent=1)),
        say=lambda line: write(line, sys.stderr),
    )
    try:
        session.run(seconds=60 * options.minutes)
    finally:
        write(table(session.batches, session.left_out))
    if not session.findings:
        return 0
    for batch in session.batches[-1:]:
        write(f"\nThe faults of batch {batch.seed}:\n{plan_of(batch)}")
    write("\n".join(["", *session.findings, f"Logs and ledger: {session.kept}"]))
    return 1


def write(text: str, file: TextIO | None = None) -> None:
    """A line for whoever watches."""
    print(text, file=file or sys.stdout, flush=True)


if __name__ == "__main__":
    sys.exit(main())
