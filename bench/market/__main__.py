"""Play the fleet's real decision in simulated spot markets: compare policies, and prove that no cap is passed.

Examples:
  python -m bench.market                             the table, and 1,000 runs with caps
  python -m bench.market --compare 0 --runs 10000    the proof alone
  python -m bench.market --compare 0 --seed 1 --first 317 --runs 1     the run that is called "seed 1:317"
  python -m bench.market --runs 0 --compare 200 --picture docs/pictures/market.svg
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from bench.market import report
from bench.market.compare import compare
from bench.market.proof import prove


def main(arguments: list[str] | None = None) -> int:
    """Run, print, and fail when a cap was passed."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.market", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1000, help="random runs with caps (1000); 0: none")
    parser.add_argument(
        "--compare", type=int, default=100, help="markets in which policies are compared (100); 0: none"
    )
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same numbers (1)")
    parser.add_argument("--first", type=int, default=0, help="number of the first random run (0)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--picture", type=Path, help="write the comparison to this SVG file, too")
    given = parser.parse_args(arguments)
    if min(given.runs, given.compare, given.first) < 0:
        parser.error("--runs, --compare and --first: write 0 or more")
    if given.picture and not given.compare:
        parser.error("--picture shows the comparison: write --compare 1 or more")
    started = time.perf_counter()
    lines = compare(given.compare, given.seed) if given.compare else []
    compared_s = time.perf_counter() - started
    proof = prove(given.runs, given.seed, first=given.first) if given.runs else None
    proved_s = time.perf_counter() - started - compared_s
    found = report.as_json(
        lines,
        proof,
        seed=given.seed,
        markets=given.compare,
        compared_s=round(compared_s, 1),
        proved_s=round(proved_s, 1),
    )
    print(json.dumps(found, indent=1) if given.json else "\n".join(report.table(found)))
    if given.picture:
        given.picture.write_text(report.picture(found), "utf-8")
    return 1 if proof and proof.passed else 0


if __name__ == "__main__":
    sys.exit(main())
