"""`make bench`: every comparison, one table."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from bench import bench_tail, farm


def show(lines: Iterable[farm.Line]) -> None:
    """Print each line as soon as it is measured."""
    for line in lines:
        target = f"   (to reach: {line.target})" if line.target else ""
        print(f"{line.what:<48} {line.value:>10}{target}", flush=True)


if __name__ == "__main__":
    show(farm.report())
    show(bench_tail.report())
    from bench import bench_merge

    sys.exit(bench_merge.main())
