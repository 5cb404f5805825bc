"""`blendnet job`: submit, follow and steer the jobs of a farm."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from blendnet.cli import output
from blendnet.cli.app import EXIT_FAILED
from blendnet.cli.connect import find_job, manager
from blendnet.cli.downloads import Downloads
from blendnet.cli.farm import print_jobs
from blendnet.cli.job_attempts import all_attempts, print_attempts, reasons_text
from blendnet.cli.job_links import links
from blendnet.cli.job_log import print_events
from blendnet.cli.options import Amount, data_option, json_option, scene_options
from blendnet.cli.place import Place, forget, recall, remember
from blendnet.cli.progress import EXACTNESS_WORDS, JobProgress
from blendnet.cli.report import job_report, job_seconds, print_report, print_warnings, warnings_of
from blendnet.cli.submission import Choices
from blendnet.cli.submit import Submission
from blendnet.cli.watch import all_frames, follow
from blendnet.client import ManagerClient
from blendnet.errors import UserError
from blendnet.manager.folder import DataFolder
from blendnet.messages import FrameView, JobView
from blendnet.models import State

output_option = click.option(
    "--output",
    "output_dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the results. Default: the scene's.",
)
job_argument = click.argument("job_id", metavar="JOB")
jobs_argument = click.argument("job_ids", nargs=-1, required=True, metavar="JOB ...")
FRAMES_LISTED = 100


@click.group(no_args_is_help=True)
def job() -> None:
    """Submit jobs to the farm that runs (`blendnet up`), follow and steer them.

    \b
    Examples:
      blendnet job submit scene.blend --frames 1-250 --priority 60
      blendnet job list
      blendnet job wait 7f3a && blendnet job download 7f3a --output renders
      blendnet job pause 7f3a

    JOB is a job's id, the beginning of one, or a job's name (the newest).
    """


@job.command()
@click.argument("scene", type=click.Path(path_type=Path), metavar="SCENE.blend")
@scene_options
@output_option
@data_option
@json_option
def submit(
    scene: Path, wanted: str | None, output_dir: Path | None, folder: DataFolder, as_json: bool, **choices: Any
) -> None:
    """Submit a scene and return at once; prints the job's id.

    \b
    Examples:
      blendnet job submit scene.blend
      blendnet job submit scene.blend --frames 1-250 --name "shot 12" --priority 80
    """
    submission = Submission(scene, wanted=wanted, choices=Choices(**choices), output_dir=output_dir)
    with manager(folder) as client:
        inspection, place = submission.look()
        view = submission.send(client, inspection, quiet=as_json)
    remember(folder, view.id, place)
    if as_json:
        output.print_json(_job_record(view))
    else:
        click.echo(view.id)


@job.command("list")
@data_option
@json_option
def list_(folder: DataFolder, as_json: bool) -> None:
    """List all jobs, the newest last."""
    with manager(folder) as client:
        jobs = client.jobs()
    if as_json:
        output.print_json([_job_record(view) for view in jobs])
    else:
        print_jobs(jobs)


@job.command()
@job_argument
@data_option
@json_option
def show(job_id: str, folder: DataFolder, as_json: bool) -> None:
    """Show a job with its frames: how far it is, how exactly it is split and why."""
    with manager(folder) as client:
        view = find_job(client, job_id)
        frames = all_frames(client, view.id)
        reasons = reasons_text(all_attempts(client, view.id))
    if as_json:
        output.print_json({**_job_record(view), "frames": [frame.model_dump(mode="json") for frame in frames]})
    else:
        print_job(view, frames, reasons=reasons)


@job.command()
@jobs_argument
@data_option
@json_option
def wait(job_ids: tuple[str, ...], folder: DataFolder, as_json: bool) -> None:
    """Wait until jobs have ended; exits with 0 only when all are completed. Ctrl-C leaves the jobs alone."""
    with manager(folder) as client:
        ended = []
        for job_id in job_ids:
            with JobProgress() as progress:
                ended.append(follow(client, find_job(client, job_id).id, show=progress.show))
            output.say(f"Job {ended[-1].id} {ended[-1].state.value}{_because(ended[-1])}")
    if as_json:
        records = [_job_record(view) for view in ended]
        output.print_json(records[0] if len(records) == 1 else records)
    if any(view.state is not State.COMPLETED for view in ended):
        raise click.exceptions.Exit(EXIT_FAILED)


@job.command()
@job_argument
@click.option("--follow", "-f", "go_on", is_flag=True, help="Go on until the job ends.")
@data_option
@json_option
def logs(job_id: str, go_on: bool, folder: DataFolder, as_json: bool) -> None:
    """Print what happened to a job: starts, losses, retries, failures with Blender's words.

    With --json: one object for each line.
    """
    with manager(folder) as client:
        print_events(client, find_job(client, job_id).id, go_on=go_on, as_json=as_json)


@job.command()
@job_argument
@click.option("--frame", type=int, help="Only those at the frame with this number.")
@click.option("--log", "with_log", is_flag=True, help="With the end of what Blender said, and its crash report.")
@data_option
@json_option
def attempts(job_id: str, frame: int | None, with_log: bool, folder: DataFolder, as_json: bool) -> None:
    """List the attempts at a job that ended without success, and why.

    \b
    Examples:
      blendnet job attempts 7f3a
      blendnet job attempts 7f3a --frame 12 --log

    Attempts that were interrupted or lost are nobody's fault and never counted.
    """
    with manager(folder) as client:
        found = all_attempts(client, find_job(client, job_id).id, frame=frame)
    if as_json:
        output.print_json([attempt.model_dump(mode="json") for attempt in found])
    else:
        print_attempts(found, with_log=with_log)


@job.command()
@job_argument
@output_option
@data_option
@json_option
def download(job_id: str, output_dir: Path | None, folder: DataFolder, as_json: bool) -> None:
    """Bring home what a job has finished so far; files that are there already are not fetched again.

    \b
    Examples:
      blendnet job download 7f3a
      blendnet job download 7f3a --output renders
    """
    with manager(folder) as client:
        view = find_job(client, job_id)
        noted = recall(folder, view.id)
        if output_dir:
            place = Place(output_dir.expanduser().absolute(), noted.name if noted else f"{view.name}_####")
        elif noted:
            place = noted
        else:
            raise UserError(f"job {view.id} was submitted elsewhere: say where its results go with --output")
        place.check_writable()
        with Downloads(client, place) as downloads:
            downloads.offer(client.results(view.id))
            fetched = downloads.finish()
        frames = all_frames(client, view.id)
    print_warnings(frames)
    seconds = job_seconds(view, time.time())
    if as_json:
        output.print_json(job_report(view, frames, fetched, agents=view.agents, seconds=seconds))
    else:
        print_report(view, frames, fetched, seconds=seconds)


job.add_command(links)


def _steer(name: str, help_text: str, call: Callable[[ManagerClient, str], JobView], done: str) -> None:
    """Add a command that changes the state of jobs."""

    @job.command(name, help=help_text)
    @jobs_argument
    @data_option
    @json_option
    def command(job_ids: tuple[str, ...], folder: DataFolder, as_json: bool) -> None:
        with manager(folder) as client:
            views = [call(client, find_job(client, job_id).id) for job_id in job_ids]
        if as_json:
            records = [_job_record(view) for view in views]
            output.print_json(records[0] if len(records) == 1 else records)
        for view in views:
            output.say(f"Job {view.id} is {done}.")


_steer("pause", "Pause jobs: agents commit what they have and turn to others.", ManagerClient.pause, "paused")
_steer("resume", "Go on with paused jobs.", ManagerClient.resume, "resumed")
_steer("cancel", "Cancel jobs. `retry` takes them up again.", ManagerClient.cancel, "canceled")
_steer(
    "retry", "Try failed or canceled jobs again; what is rendered already is kept.", ManagerClient.retry, "tried again"
)


@job.command()
@job_argument
@click.argument("value", type=click.IntRange(0, 100), metavar="0-100")
@data_option
@json_option
def priority(job_id: str, value: int, folder: DataFolder, as_json: bool) -> None:
    """Change the priority of a job: higher goes first, 50 is usual."""
    with manager(folder) as client:
        view = client.set_priority(find_job(client, job_id).id, value)
    if as_json:
        output.print_json(_job_record(view))
    output.say(f"Job {view.id} has priority {view.priority}.")


@job.command()
@job_argument
@click.argument("usd", type=Amount(0, 1e9), metavar="USD")
@data_option
@json_option
def cap(job_id: str, usd: float, folder: DataFolder, as_json: bool) -> None:
    """Change the most that a job may cost, 0 for anything. One that its cap has paused goes on.

    \b
    Examples:
      blendnet job cap 7f3a 2.50
      blendnet job cap 7f3a 0
    """
    with manager(folder) as client:
        view = client.set_cap(find_job(client, job_id).id, usd)
    if as_json:
        output.print_json(_job_record(view))
    limit = "no cap" if view.cap_usd is None else f"a cap of {output.usd(view.cap_usd)}"
    state = f" and stays paused: {view.message}" if view.state is State.PAUSED else ""
    output.say(f"Job {view.id} has {limit}{state}.")


@job.command()
@jobs_argument
@click.option("--force", is_flag=True, help="Cancel jobs that still run, then remove them.")
@data_option
@json_option
def remove(job_ids: tuple[str, ...], force: bool, folder: DataFolder, as_json: bool) -> None:
    """Remove jobs from the farm with all their files there. Downloaded pictures stay."""
    removed = []
    with manager(folder) as client:
        for job_id in job_ids:
            view = find_job(client, job_id)
            if force and not view.state.final:
                client.cancel(view.id)
            client.remove(view.id)
            forget(folder, view.id)
            removed.append(view.id)
    if as_json:
        output.print_json({"removed": removed})
    for job_id in removed:
        output.say(f"Job {job_id} is removed.")


def _job_record(view: JobView) -> dict[str, Any]:
    """The JSON object of a job: every field, and its id under the name that `render` uses as well."""
    return {"job": view.id, **view.model_dump(mode="json")}


def _because(view: JobView) -> str:
    return f": {view.message}" if view.message else "."


def print_job(view: JobView, frames: list[FrameView], *, reasons: str = "") -> None:
    """What `job show` says. `reasons`: why attempts ended without success."""
    output.print_pairs(
        [
            ("Job", view.id),
            ("Name", view.name),
            ("State", ": ".join(filter(None, (view.state.value, view.message)))),
            ("Priority", view.priority),
            ("Blender", view.blender),
            ("Picture", f"{view.width}x{view.height}, {output.plural(view.samples, 'sample')}"),
            (
                "Strategy",
                f"{view.strategy.value} {f'({view.strategy_reason})' if view.strategy_reason else ''}".strip(),
            ),
            ("Exactness", [EXACTNESS_WORDS[view.exactness.value], *(f"- {reason}" for reason in view.reasons)]),
            ("Frames", f"{view.frames_completed} of {view.frames_total} completed, {view.frames_failed} failed"),
            ("Samples", f"{view.samples_done} of {view.samples_total}"),
            ("Chunks", f"{view.chunks_completed} of {view.chunks_total}, {view.redelivered} given again"),
            ("Interrupted", output.plural(view.interrupted, "attempt") if view.interrupted else None),
            ("In vain", f"{reasons}: see `blendnet job attempts {view.id}`" if reasons else None),
            ("Agents", view.agents),
            ("Warnings", [f"- {text} ({output.plural(n, 'frame')})" for text, n in warnings_of(frames).items()]),
            ("Left", None if view.state.final else output.duration(view.remaining_s)),
            ("Cost", output.usd(view.cost_usd, unpriced_s=view.unpriced_s)),
            ("Agents", None if view.agents_max is None else f"at most {view.agents_max} at once"),
            ("Cap", None if view.cap_usd is None else output.usd(view.cap_usd)),
        ]
    )
    click.echo()
    rows = [
        (
            f.number,
            f.state.value,
            f.stage.value,
            f"{f.done}/{f.samples}",
            f.chunks,
            f.segments,
            output.usd(f.cost_usd),
            f.message,
        )
        for f in frames[:FRAMES_LISTED]
    ]
    output.print_table([">FRAME", "STATE", "STAGE", ">SAMPLES", ">CHUNKS", ">SEGMENTS", ">COST", ""], rows)
    if len(frames) > FRAMES_LISTED:
        output.say(f"... and {len(frames) - FRAMES_LISTED} more: --json prints all.")
