"""Repeatable comparisons on one machine in one run, printed as ratios. Nothing here gates: correctness does."""
