"""`blendnet agent`: the agents of a farm."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from blendnet.cli import output
from blendnet.cli.connect import manager
from blendnet.cli.farm import print_agents
from blendnet.cli.gc import seconds as seconds_of
from blendnet.cli.options import Amount, data_option, json_option
from blendnet.manager.folder import DataFolder
from blendnet.settings import default_agent_dir, get_settings


@click.group(no_args_is_help=True)
def agent() -> None:
    """List, add, remove and interrupt the agents of the farm; read their logs; trust them again after failures.

    With `token` and `run` your other machines join it, with `revoke` they leave it for good.

    \b
    Examples:
      blendnet agent list
      blendnet agent add 2
      blendnet agent remove agent-2
      blendnet agent interrupt agent-1 --seconds 30
      blendnet agent logs agent-1
      blendnet agent token
      blendnet agent run --join https://manager.lan:8443 - --ca-sha256 9F:86:...
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
    type=Amount(0, 3600),
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
    """Print the end of an agent's log, or of another process: control, redis.

    Of a cloud's machine that never joined, or fell silent: what it said while it started, if its cloud tells that.
    """
    with manager(folder) as client:
        text = client.agent_log(name)
    if as_json:
        output.print_json({"agent": name, "log": text})
    else:
        click.echo(text, nl=not text.endswith("\n"))


@agent.command()
@click.option("--valid", metavar="TIME", help="How long it is good: 10m, 1h, 2d [default: 1h].")
@click.option(
    "--name", default="", metavar="NAME", help="Only for an agent of this name, which replaces one that has it."
)
@data_option
@json_option
def token(valid: str | None, name: str, folder: DataFolder, as_json: bool) -> None:
    """Make a token with which one other machine can join the farm, once.

    \b
    Examples:
      blendnet agent token
      blendnet agent token --valid 10m --name workstation
      blendnet agent token --json | jq -r .token

    The farm has to be started with `blendnet up --listen ADDRESS`. The token goes to stdout, how to use it to stderr.
    It is shown this once: the farm keeps no more than its hash.
    """
    with manager(folder) as client:
        made = client.make_token(name=name, valid_s=seconds_of(valid) if valid else None)
    if as_json:
        output.print_json(made.model_dump(mode="json"))
        return
    click.echo(made.token)
    output.say(
        f"Works once, until {output.local_time(made.expires_at)}. On the other machine run this, and paste it there:"
    )
    output.say(f"  blendnet agent run --join {made.url} - --ca-sha256 {made.ca_sha256}")


@agent.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME ...")
@data_option
@json_option
def revoke(names: tuple[str, ...], folder: DataFolder, as_json: bool) -> None:
    """Shut agents of other machines out of the farm, at once and for good.

    Their certificates are not accepted any more, nor their logins at Redis. What they have not committed goes to
    others. To come back, such a machine needs a new token.
    """
    with manager(folder) as client:
        for name in names:
            client.revoke_agent(name)
    if as_json:
        output.print_json({"revoked": list(names)})
    else:
        output.say(f"Revoked {', '.join(names)}.")


@agent.command()
@click.option("--join", "url", metavar="URL", help="The farm: https://HOST:PORT, as `blendnet agent token` says it.")
@click.argument("join_token", metavar="[TOKEN]", required=False)
@click.option(
    "--ca", type=click.Path(path_type=Path), metavar="FILE", help="The farm's CA: security/ca.crt on the Manager."
)
@click.option(
    "--ca-sha256", default="", metavar="FINGERPRINT", help="...or its SHA-256, as `blendnet agent token` says it."
)
@click.option(
    "--name", default="", metavar="NAME", help="The agent's name [default: that of the token or the machine]."
)
@click.option(
    "--dir",
    "root",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Its folder: identity, cache, work. One for each agent. Default: ~/.local/share/blendnet/agent.",
)
def run(url: str | None, join_token: str | None, ca: Path | None, ca_sha256: str, name: str, root: Path | None) -> None:
    """Be an agent of a farm on another machine, until Ctrl-C.

    \b
    TOKEN is one of
      -       it is read from stdin, or asked for
      @FILE   it is in a file
      TOKEN   itself: others on this machine may see it in the list of processes

    \b
    Examples:
      blendnet agent run --join https://manager.lan:8443 - --ca-sha256 9F:86:...
      blendnet agent run --join https://manager.lan:8443 @/etc/blendnet/token --ca /etc/blendnet/ca.crt
      blendnet agent run

    The machine makes a key, which never leaves it, and gets a certificate for it that it renews by itself. Started
    again, it is the agent that it was: it needs no token, and a used one does no harm.
    """
    from blendnet.cli.agent_folder import AgentFolder
    from blendnet.cli.agent_join import Invitation
    from blendnet.cli.agent_run import run_agent

    if (url is None) != (join_token is None):
        raise click.UsageError("--join URL and a TOKEN belong together; TOKEN may be '-' or '@FILE'")
    invitation = (
        Invitation(url, join_token, ca, ca_sha256, name) if url is not None and join_token is not None else None
    )
    sys.exit(run_agent(AgentFolder(root or default_agent_dir()), invitation, get_settings()))
