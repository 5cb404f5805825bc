"""`blendnet costs`: what the farm costs, and the caps of the whole farm."""

from __future__ import annotations

from collections.abc import Callable

import click

from blendnet.cli import output
from blendnet.cli.connect import manager
from blendnet.cli.options import Amount, data_option, json_option
from blendnet.manager.folder import DataFolder
from blendnet.messages import CostsOf, CostsView, FarmCaps

USD = Amount(0, 1e9)
JOBS_LISTED = 30


@click.command()
@click.option("--day", metavar="YYYY-MM-DD", help="Another day than today. Days begin at midnight UTC.")
@click.option("--cap-day", type=USD, metavar="USD", help="Change what everything may cost a day; 0: no cap.")
@click.option("--cap-farm", type=USD, metavar="USD", help="Change what everything may cost in all; 0: no cap.")
@data_option
@json_option
def costs(day: str | None, cap_day: float | None, cap_farm: float | None, folder: DataFolder, as_json: bool) -> None:
    """Show what agents, jobs, idle time, disk and egress cost; change the caps of the farm.

    \b
    Examples:
      blendnet costs
      blendnet costs --day 2026-11-27 --json | jq .of_day.total_usd
      blendnet costs --cap-day 5

    A dash means that no price is known: say what your own machines cost with BLENDNET_AGENT_USD_PER_HOUR. A job has a
    cap of its own: `blendnet job cap`.
    """
    with manager(folder) as client:
        if cap_day is not None or cap_farm is not None:
            client.set_farm_caps(FarmCaps(day_usd=cap_day, farm_usd=cap_farm))
        view = client.costs(day=day)
    if as_json:
        output.print_json(view.model_dump(mode="json"))
    else:
        print_costs(view)


def print_costs(view: CostsView) -> None:
    """Tables on stdout: agents, jobs, and every line of the bill, on that day and in all."""
    agents = [
        (
            line.agent,
            " ".join(filter(None, (line.provider, line.machine, line.zone, "spot" if line.spot else ""))),
            "-" if line.usd_per_hour is None else f"{output.usd(line.usd_per_hour)}/h",
            output.duration(line.billed_s),
            output.duration(line.worked_s),
            output.duration(line.boot_s + line.idle_s),
            output.usd(line.usd),
        )
        for line in view.of_day.agents
    ]
    output.print_table(["AGENT", "MACHINE", ">PRICE", ">TIME", ">WORKED", ">BOOT+IDLE", f">{view.day}"], agents)
    click.echo()
    _print_jobs(view)
    click.echo()
    output.print_table(["", f">{view.day}", ">IN ALL"], [_row(name, view, of) for name, of in _LINES])
    for text in _notes(view):
        click.echo(text)


def _print_jobs(view: CostsView) -> None:
    today = {job.job: job for job in view.of_day.jobs}
    rows = [
        (
            job.job,
            job.name or "(removed)",
            output.duration(job.worked_s),
            output.duration(job.boot_s + job.idle_s),
            output.usd(today[job.job].usd, unpriced_s=today[job.job].unpriced_s) if job.job in today else "",
            output.usd(job.usd, unpriced_s=job.unpriced_s),
        )
        for job in view.in_all.jobs[-JOBS_LISTED:]
    ]
    output.print_table(["JOB", "NAME", ">WORKED", ">BOOT+IDLE", f">{view.day}", ">IN ALL"], rows)
    if len(view.in_all.jobs) > JOBS_LISTED:
        output.say(f"{len(view.in_all.jobs) - JOBS_LISTED} jobs before these: --json prints all.")


_LINES: list[tuple[str, Callable[[CostsOf], float | None]]] = [
    ("jobs", lambda of: of.jobs_usd),
    ("boot", lambda of: of.boot_usd),
    ("idle", lambda of: of.idle_usd),
    ("disk", lambda of: of.disk_usd),
    ("addresses", lambda of: of.address_usd),
    ("egress", lambda of: of.egress_usd),
    ("Manager", lambda of: of.manager_usd),
    ("total", lambda of: of.total_usd),
]


def _row(name: str, view: CostsView, of: Callable[[CostsOf], float | None]) -> tuple[str, ...]:
    partly = name not in ("disk", "addresses", "egress", "Manager")
    sums = (view.of_day, view.in_all)
    return (name, *(output.usd(of(spent), unpriced_s=spent.unpriced_s if partly else 0.0) for spent in sums))


def _notes(view: CostsView) -> list[str]:
    """Where prices are from, how old they are, how near the caps are."""
    notes = [
        f"Price {output.usd(price.usd_per_hour)}/h of {price.provider} {price.machine}".rstrip()
        + f"{' in ' + price.zone if price.zone else ''}: {price.source}"
        + ("" if price.age_s is None else f", {output.duration(price.age_s)} old")
        for price in view.prices
    ]
    for cap in view.caps:
        spent, limit = output.usd(cap.spent_usd), output.usd(cap.cap_usd)
        committed = output.usd(cap.committed_usd)
        home = f", {output.usd(cap.home_usd)} of it to bring results home" if cap.home_usd else ""
        notes.append(
            f"Cap of the {cap.cap}: {spent} of {limit} spent, {committed} more until all agents could be gone{home}."
        )
        if cap.reached:
            notes.append(f"Nothing begins: {cap.reached}.")
    if view.in_all.unpriced_s:
        notes.append(f"No price is known for {output.duration(view.in_all.unpriced_s)} of agents' time.")
    return notes
