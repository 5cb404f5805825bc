"""`blendnet agent`: the agents of a farm."""

from __future__ import annotations

import click

from blendnet.cli import output
from blendnet.cli.connect import manager
from blendnet.cli.farm import print_agents
from blendnet.cli.options import data_option, json_option
from blendnet.manager.folder import DataFolder


@click.group(no_args_is_help=True)
def agent() -> None:
    """List, add, remove and interrupt the agents of the farm; read their logs; trust them again after failures.

    \b
    Examples:
      blendnet agent list
      blendnet agent add 2
      blendnet agent remove agent-2
      blendnet agent interrupt agent-1 --seconds 30
      blendnet agent logs agent-1
    """


@agent.command("list")
@data_option
@json_option
def list_(folder: DataFolder, as_json: bool) -> None:
    """List agents: what they do, which Blenders and devices they have."""
    with manager(folder) as client:
        agents = client.agents()
    if as_json:
        output.print_json([agent.model_dump(mode="json") for agent in agents])
    else:
        print_agents(agents)


@agent.command()
@click.argument("count", type=click.IntRange(1, 64), default=1)
@data_option
@json_option
def add(count: int, folder: DataFolder, as_json: bool) -> None:
    """Start COUNT more agents (1 when left out) on the farm's machine."""
    with manager(folder) as client:
        names = client.add_agents(count)
    if as_json:
        output.print_json({"added": names})
    else:
        output.say(f"Started {', '.join(names)}.")


@agent.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME ...")
@data_option
@json_option
def remove(names: tuple[str, ...], folder: DataFolder, as_json: bool) -> None:
    """End agents. What they have rendered is committed first; others go on with the rest."""
    with manager(folder) as client:
        for name in names:
            client.remove_agent(name)
    if as_json:
        output.print_json({"removed": list(names)})
    else:
        output.say(f"Removed {', '.join(names)}.")


@agent.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME ...")
@data_option
@json_option
def trust(names: tuple[str, ...], folder: DataFolder, as_json: bool) -> None:
    """Give work again to agents that were set aside because attempts failed on them one after the other.

    They are tried again by themselves after a while; this is for when you have mended what was wrong.
    """
    with manager(folder) as client:
        agents = [client.trust_agent(name) for name in names]
    if as_json:
        output.print_json([agent.model_dump(mode="json") for agent in agents])
    else:
        output.say(f"{', '.join(names)} may work again.")


@agent.command()
@click.argument("name")
@click.option(
    "--seconds",
    type=click.FloatRange(0, 3600),
    metavar="N",
    help="Until the agent is gone [default: 30, or what BLENDNET_NOTICE_S said at `blendnet up`].",
)
@data_option
@json_option
def interrupt(name: str, seconds: float | None, folder: DataFolder, as_json: bool) -> None:
    """Give an agent a preemption notice, as a cloud does before it takes a machine back.

    \b
    Examples:
      blendnet agent interrupt agent-1
      blendnet agent interrupt agent-1 --seconds 2

    It takes no more work, commits what it has rendered, gives the rest back and ends; others go on. In this farm it is
    started again, as a machine would be replaced.
    """
    with manager(folder) as client:
        client.interrupt_agent(name, seconds=seconds)
    if as_json:
        output.print_json({"interrupted": name, "seconds": seconds})
    else:
        output.say(f"Told {name}: see `blendnet agent list`.")


@agent.command()
@click.argument("name")
@data_option
@json_option
def logs(name: str, folder: DataFolder, as_json: bool) -> None:
    """Print the end of an agent's log, or of another process: control, redis."""
    with manager(folder) as client:
        text = client.agent_log(name)
    if as_json:
        output.print_json({"agent": name, "log": text})
    else:
        click.echo(text, nl=not text.endswith("\n"))
