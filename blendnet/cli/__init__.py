"""The `blendnet` command. Each group of commands is a module of its own, loaded when it is asked for."""

from __future__ import annotations


def main() -> None:
    """Run the command line of this process; never returns."""
    from blendnet.cli.app import run

    run()
