"""The top of the command line: the list of commands and what happens when one of them fails."""

from __future__ import annotations

import json
import os
import sys
from typing import NoReturn

import click

from blendnet import __version__
from blendnet.cli.lazy import LazyGroup
from blendnet.errors import BlendNetError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

COMMANDS = {
    "render": ("render", "Render a scene on this machine's farm: one command does everything."),
    "estimate": ("estimate:estimate", "Estimate what a scene takes on the farm, by a probe of a few samples."),
    "up": ("farm:up", "Start a farm that stays."),
    "down": ("farm:down", "End the farm; nothing of it keeps running."),
    "status": ("farm:status", "Show the farm: processes, agents, jobs."),
    "job": ("job:job", "Submit jobs to the farm, follow and steer them."),
    "costs": ("costs", "Show what agents and jobs cost; caps of the farm."),
    "agent": ("agent:agent", "List, add and remove agents; read their logs."),
    "doctor": ("doctor", "Check the farm and repair what can be repaired."),
    "gc": ("gc", "Delete what nothing needs, and old jobs when asked."),
    "backup": ("backup:backup", "Write the farm's ledger into one file, also while it runs."),
    "restore": ("backup:restore", "Put a backup in the place of the farm's ledger."),
    "fleet": ("fleet:fleet", "Show the machines that come and go by themselves, and why."),
    "cloud": ("cloud:cloud", "Check a cloud, list its machines and prices, estimate what a scene costs."),
    "blender": ("blender:blender", "List and install the Blender builds of this machine."),
    "deps": ("deps", "List the files a scene needs, and those that are missing."),
    "merge": ("merge", "Merge sample chunks of one frame into one EXR."),
}
"""Command -> module and object below blendnet.cli (`deps` is deps:deps), and its line in `blendnet --help`."""


class TopGroup(LazyGroup):
    """`blendnet` itself: its --help imports no command at all."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            raise click.UsageError(f"there is no command {args[0]!r}: one of {', '.join(COMMANDS)}", ctx) from None


@click.group(
    cls=TopGroup,
    places={name: place for name, (place, _) in COMMANDS.items()},
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="blendnet")
def blendnet() -> None:
    """BlendNet renders Blender scenes on a farm: this machine alone, or many.

    \b
    Render a scene now:
      blendnet render scene.blend
    Keep a farm running and give it jobs:
      blendnet up --agents 2
      blendnet job submit scene.blend
      blendnet status
      blendnet down

    Every command has --help with examples, and --json for programs: results go to stdout, progress and messages to
    stderr, and the exit status is 0 only when everything worked.
    """


def run() -> NoReturn:
    """Run the command that sys.argv names and exit: errors become one sentence on stderr."""
    try:
        status = blendnet.main(prog_name="blendnet", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        status = end.exit_code
    except click.ClickException as error:
        _say_error("usage", error.format_message(), _hint(error))
        status = EXIT_USAGE
    except BlendNetError as error:
        _say_error(error.code, str(error))
        status = EXIT_FAILED
    except (KeyboardInterrupt, click.Abort):
        _say_error("interrupted", "interrupted")
        status = EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (`| head`): nothing is wrong, but stdout cannot be flushed any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = EXIT_FAILED
    except OSError as error:
        _say_error("system", f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        status = EXIT_FAILED
    except Exception as error:
        # A fault of ours, which the traceback tells people.
        _say_json(BlendNetError.code, f"blendnet failed ({type(error).__name__}): stderr has more")
        raise
    sys.exit(status if isinstance(status, int) else 0)


def _hint(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"See `{context.command_path} --help`." if context else ""


def _say_error(code: str, text: str, hint: str = "") -> None:
    sentence = text if text.endswith((".", "?", "`")) or "\n" in text else f"{text}."
    print(f"Error: {sentence} {hint}".rstrip(), file=sys.stderr)  # noqa: T201 - the last words of the program
    _say_json(code, text)


def _say_json(code: str, text: str) -> None:
    if "--json" in sys.argv[1:]:
        print(json.dumps({"error": {"code": code, "message": text}}))  # noqa: T201
