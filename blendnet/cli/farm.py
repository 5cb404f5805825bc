"""`blendnet up`, `down` and `status`: a farm that stays."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import click

from blendnet import memory
from blendnet.cli import output
from blendnet.cli.cloud_farm import CloudFarm
from blendnet.cli.connect import connection_of, manager
from blendnet.cli.farm_process import start, stop, stop_unseen
from blendnet.cli.options import data_option, json_option
from blendnet.client import Connection, ManagerClient
from blendnet.errors import Conflict
from blendnet.manager.folder import DataFolder
from blendnet.messages import AgentView, FarmView, JobView

DEFAULT_AGENTS = 1
AGENTS_TIMEOUT_S = 30.0
ALIVE = ("idle", "busy", "draining", "aside")


@click.command()
@click.option(
    "--agents",
    type=click.IntRange(0, 64),
    default=None,
    metavar="N",
    help="Agents to start on this machine; 0: other machines render. Default: 1.",
)
@click.option(
    "--listen",
    default="",
    metavar="ADDRESS",
    help="Let your other machines join: they reach the farm at this address of this machine (0.0.0.0: at any).",
)
@data_option
@json_option
def up(agents: int | None, listen: str, folder: DataFolder, as_json: bool) -> None:
    """Start a farm that stays until `blendnet down`.

    \b
    Examples:
      blendnet up
      blendnet up --agents 4 --data /big/disk/farm
      blendnet up --agents 0 --listen 192.168.1.10

    Jobs that an earlier farm on the same folder left unfinished go on. A farm that runs already is left as it is.
    Without --listen (or BLENDNET_LISTEN) nobody but this machine reaches the farm; with it, `blendnet agent token` lets
    others in.
    """
    if (note := CloudFarm(folder).read()) is not None:
        raise Conflict(
            f"the farm of {folder.root} is in a cloud ({note.place}): `blendnet cloud start` starts its Manager. For a "
            "farm on this machine use another --data"
        )
    farm = folder.running()
    if farm and farm.private:
        raise Conflict(
            f"`blendnet render` runs a farm of its own on {folder.root}: wait until it ends, or use another --data"
        )
    if farm and listen and listen != farm.listen:
        raise Conflict(f"the farm on {folder.root} does not listen on {listen}: end it with `blendnet down` first")
    if farm:
        output.say(f"A farm runs on {folder.root} already.")
    else:
        farm = start(folder, agents=DEFAULT_AGENTS if agents is None else agents, listen=listen)
    with ManagerClient(connection_of(farm)) as client:
        view = _wait_for_agents(client)
    if as_json:
        output.print_json(_status(view, connection_of(farm)))
        return
    alive = sum(agent.state in ALIVE for agent in view.agents)
    output.say(f"The farm is up with {output.plural(alive, 'agent')}: {farm.url} (data in {folder.root}).")
    if agents and alive < agents:
        output.say(f"You asked for {agents}: add some with `blendnet agent add {agents - alive}`.")


@click.command()
@data_option
@json_option
def down(folder: DataFolder, as_json: bool) -> None:
    """End the farm. Unfinished jobs keep what they have and go on with the next `blendnet up`.

    \b
    Examples:
      blendnet down
      blendnet down --data /big/disk/farm
    """
    if farm := folder.running():
        with ManagerClient(connection_of(farm)) as client:
            stop(folder, farm.pid, client.stop_farm)
    stopped = farm is not None or stop_unseen(folder)
    if as_json:
        output.print_json({"stopped": stopped, "data": str(folder.root)})
    else:
        cloud = (
            " on this machine; `blendnet cloud stop` stops its Manager in the cloud"
            if folder.cloud_note.exists()
            else ""
        )
        output.say("The farm is down." if stopped else f"No farm runs on {folder.root}{cloud}.")


@click.command()
@data_option
@json_option
def status(folder: DataFolder, as_json: bool) -> None:
    """Show the farm: its processes, agents and jobs.

    \b
    Examples:
      blendnet status
      blendnet status --json | jq .manager.url
    """
    with manager(folder) as client:
        view, connection = client.farm(), client.connection
    if as_json:
        output.print_json(_status(view, connection))
        return
    pairs = [("Farm", connection.url), ("Data", view.data), ("Version", view.version)]
    output.print_pairs([*pairs, ("Cost", None if view.cost_usd is None else output.usd(view.cost_usd))])
    click.echo()
    output.print_table(["PROCESS", "NAME", ">PID"], [(p.role, p.name, p.pid) for p in view.processes])
    click.echo()
    print_agents(view.agents)
    if view.jobs:
        click.echo()
        print_jobs(view.jobs)


def print_agents(agents: Sequence[AgentView]) -> None:
    """Agents as a table on stdout."""
    rows = [
        (
            agent.name,
            agent.state,
            ", ".join(agent.blenders),
            ", ".join(agent.devices),
            memory_text(agent),
            output.usd(agent.cost_usd),
            agent.chunk,
            agent.message,
        )
        for agent in agents
    ]
    output.print_table(["AGENT", "STATE", "BLENDER", "DEVICES", ">MEMORY", ">COST", "CHUNK", ""], rows)


def memory_text(agent: AgentView) -> str:
    """The memory of an agent's machine and of its GPU; '' when it does not tell."""
    if agent.memory_bytes is None:
        return ""
    gpu = "" if agent.gpu_memory_bytes is None else f" + {memory.text(agent.gpu_memory_bytes)} GPU"
    return memory.text(agent.memory_bytes) + gpu


def print_jobs(jobs: Sequence[JobView]) -> None:
    """Jobs as a table on stdout, the newest last."""
    rows = [
        (
            job.id,
            job.name,
            job.state.value,
            f"{job.frames_completed}/{job.frames_total}",
            f"{job.samples_done}/{job.samples_total}",
            job.agents,
            "" if job.state.final else output.duration(job.remaining_s),
            output.usd(job.cost_usd, unpriced_s=job.unpriced_s),
            job.message,
        )
        for job in sorted(jobs, key=lambda job: job.created_at)
    ]
    output.print_table(["JOB", "NAME", "STATE", ">FRAMES", ">SAMPLES", ">AGENTS", ">LEFT", ">COST", ""], rows)


def _status(view: FarmView, connection: Connection) -> dict[str, Any]:
    """The JSON object of `status` and `up`."""
    return {
        **view.model_dump(mode="json"),
        "manager": {
            "url": connection.url,
            "ca": str(connection.ca) if connection.ca else None,
            "user": connection.user,
            "password_file": str(connection.password_file),
        },
    }


def _wait_for_agents(client: ManagerClient) -> FarmView:
    """The farm once every agent process has reported, or after a while without."""
    deadline = time.monotonic() + AGENTS_TIMEOUT_S
    while True:
        view = client.farm()
        started = {process.name for process in view.processes if process.role == "agent"}
        if started <= {agent.name for agent in view.agents if agent.state in ALIVE}:
            return view
        if time.monotonic() > deadline:
            output.say(f"Not all agents have reported after {AGENTS_TIMEOUT_S:.0f} s: see `blendnet agent list`.")
            return view
        time.sleep(0.1)
