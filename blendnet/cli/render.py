"""`blendnet render`: one command from a scene to its pictures."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import click

from blendnet.cli import output
from blendnet.cli.app import EXIT_FAILED, EXIT_INTERRUPTED
from blendnet.cli.connect import connection_of, find_job
from blendnet.cli.downloads import Downloads, Fetched
from blendnet.cli.farm_process import FarmForOneCommand
from blendnet.cli.options import agents_option, data_option, json_option, scene_options
from blendnet.cli.place import Place, recall, remember
from blendnet.cli.progress import JobProgress, describe
from blendnet.cli.report import job_report, print_report, print_warnings
from blendnet.cli.submission import Choices
from blendnet.cli.submit import Submission, check_not_both
from blendnet.cli.watch import all_frames, follow
from blendnet.client import ManagerClient
from blendnet.errors import BlendNetError, UserError
from blendnet.manager.folder import DataFolder
from blendnet.messages import JobView
from blendnet.models import State

DEFAULT_AGENTS = 1


@click.command()
@click.argument("scene", required=False, type=click.Path(path_type=Path), metavar="[SCENE.blend]")
@scene_options
@click.option(
    "--output",
    "output_dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the results. Default: the scene's.",
)
@agents_option
@click.option("--resume", metavar="JOB", help="Go on with a job that was canceled, failed or interrupted.")
@click.option("--keep-farm", is_flag=True, help="Leave the farm running afterwards, as `blendnet up` does.")
@data_option
@json_option
def render(
    scene: Path | None, wanted: str | None, output_dir: Path | None, agents: int | None, resume: str | None,
    keep_farm: bool, folder: DataFolder, as_json: bool, **choices: Any,
) -> None:  # fmt: skip
    """Render a scene and bring its pictures home.

    Uses the farm that runs on the data folder; when none does, starts one for this scene and ends it afterwards.

    \b
    Examples:
      blendnet render scene.blend
      blendnet render scene.blend --frames 1-10,20,30-40x2 --output renders
      blendnet render scene.blend --samples 512 --agents 4 --blender 4.5
      blendnet render --resume 7f3a

    Frames, samples, resolution, output folder and file format are the scene's own unless an option says otherwise.
    Every frame gives the finished picture and, beside it, the merged multilayer EXR (NAME_merged.exr). Ctrl-C cancels
    the job; --resume goes on where it stopped.
    """
    check_not_both(resume, scene)
    submission = None
    if resume is None and scene is not None:
        submission = Submission(scene, wanted=wanted, choices=Choices(**choices), output_dir=output_dir)
    with FarmForOneCommand(folder, agents=agents or DEFAULT_AGENTS, keep=keep_farm) as farm:
        _say_which_farm(farm, agents)
        run = Run(folder, quiet=as_json)
        looked = submission.look() if submission else None
        with ManagerClient(connection_of(farm.wait())) as client:
            if submission and looked:
                run.begin(client, submission.send(client, looked[0], quiet=as_json), looked[1])
            else:
                run.take_up(client, resume or "", output_dir)
            run.follow(client)
        run.report(as_json)


class Run:
    """One job from its start to its pictures on this machine."""

    def __init__(self, folder: DataFolder, *, quiet: bool) -> None:
        self._folder = folder
        self._quiet = quiet
        self._started = time.monotonic()
        self._agents = 0
        self._fetched: list[Fetched] = []
        self._interrupted = False

    def begin(self, client: ManagerClient, job: JobView, place: Place) -> None:
        """Go on with a job that was just submitted."""
        self._job, self._place = job, place
        remember(self._folder, job.id, place)

    def take_up(self, client: ManagerClient, words: str, output_dir: Path | None) -> None:
        """Go on with a job that stopped.

        Raises:
            NotFound: no such job.
            UserError: nobody knows where its results go.
        """
        job = find_job(client, words)
        place = recall(self._folder, job.id)
        if output_dir:
            place = Place(output_dir.expanduser().absolute(), place.name if place else job.name + "_####")
        if place is None:
            raise UserError(
                f"where do the results of job {job.id} go? It was submitted elsewhere: say so with --output"
            )
        place.check_writable()
        if job.state is State.PAUSED:
            job = client.resume(job.id)
        elif job.state in (State.FAILED, State.CANCELED):
            job = client.retry(job.id)
        output.say(describe(job))
        self.begin(client, job, place)

    def follow(self, client: ManagerClient) -> None:
        """Show the job and fetch its results until it ends. Ctrl-C cancels it; a second Ctrl-C leaves at once."""
        try:
            with Downloads(client, self._place) as downloads:
                with JobProgress() as progress:
                    self._job = follow(client, self._job.id, show=progress.show, downloads=downloads)
                self._fetched = downloads.finish()
        except KeyboardInterrupt:
            self._interrupted = True
            self._cancel(client)
        except BlendNetError:
            self._say_how_to_go_on()
            raise
        self._frames = all_frames(client, self._job.id)
        self._agents = sum(agent.state in ("idle", "busy", "draining") for agent in client.agents())

    def report(self, as_json: bool) -> None:
        """Print what became of the job and end the command with the status that says so."""
        seconds = time.monotonic() - self._started
        print_warnings(self._frames)
        if as_json:
            output.print_json(job_report(self._job, self._frames, self._fetched, agents=self._agents, seconds=seconds))
        else:
            print_report(self._job, self._frames, self._fetched, seconds=seconds)
        if self._job.state is not State.COMPLETED:
            self._say_how_to_go_on()
            raise click.exceptions.Exit(EXIT_INTERRUPTED if self._interrupted else EXIT_FAILED)

    def _say_how_to_go_on(self) -> None:
        output.say(f"Go on with it: blendnet render --resume {self._job.id} --data {self._folder.root}")

    def _cancel(self, client: ManagerClient) -> None:
        signal.signal(signal.SIGINT, lambda *_: os._exit(EXIT_INTERRUPTED))
        output.say(f"\nCanceling job {self._job.id} (Ctrl-C again leaves at once) ...")
        try:
            self._job = client.cancel(self._job.id)
        except BlendNetError:
            self._job = client.job(self._job.id)  # It ended in this very moment.


def _say_which_farm(farm: FarmForOneCommand, agents: int | None) -> None:
    if not farm.was_running:
        output.say("Starting a farm on this machine ...")
    elif agents:
        output.say("A farm runs already: --agents counts only when this command starts one. See `blendnet agent add`.")
