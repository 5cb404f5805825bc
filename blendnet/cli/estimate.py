"""`blendnet estimate`: what a scene will take on the farm, told before it is sent; a probe finds out the unknown."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from blendnet import memory
from blendnet.cli import output
from blendnet.cli.cloud_types import age_text
from blendnet.cli.connect import manager
from blendnet.cli.options import AGENTS_MAX, SAMPLES_MAX, data_option, json_option, scene_options
from blendnet.cli.progress import JobProgress, bytes_progress
from blendnet.cli.scene import Inspection, check_scene_file, find_build
from blendnet.cli.submission import Choices, Parcel, frames_of, job_settings
from blendnet.cli.submit import look_at
from blendnet.cli.watch import follow
from blendnet.client import ManagerClient
from blendnet.errors import SceneError, UserError
from blendnet.manager.folder import DataFolder
from blendnet.messages import EstimateRequest, EstimateState, EstimateView, ProbeRequest, tree_key
from blendnet.models import State

UNKNOWN = "unknown"


@click.command()
@click.argument("scene", type=click.Path(path_type=Path), metavar="SCENE.blend")
@scene_options
@click.option(
    "--agents",
    type=click.IntRange(1, AGENTS_MAX),
    metavar="N",
    help="Agents to count with. Default: those that are there, or as many as the fleet may have.",
)
@click.option(
    "--probe-frames",
    type=click.IntRange(1, 3),
    default=1,
    show_default=True,
    help="Frames of the probe: the first; 2: also the last; 3: also one in the middle.",
)
@click.option("--probe-samples", type=click.IntRange(1, SAMPLES_MAX), metavar="N", help="Of each. Default: a few.")
@click.option("--no-probe", is_flag=True, help="Render nothing: fail when the farm does not know the scene.")
@data_option
@json_option
def estimate(
    scene: Path, wanted: str | None, agents: int | None, probe_frames: int, probe_samples: int | None, no_probe: bool,
    folder: DataFolder, as_json: bool, **choices: Any,
) -> None:  # fmt: skip
    """Estimate how long a scene will take on the farm, and what it will cost. Sends no job.

    \b
    Examples:
      blendnet estimate scene.blend
      blendnet estimate scene.blend --frames 1-240 --samples 512 --probe-frames 3
      blendnet estimate scene.blend --agents 8 --json | jq '{seconds, usd, cap_usd}'

    When the farm has rendered these very files before, that tells. Else one agent renders a few samples of a frame, as
    a small job that no list shows and that is removed afterwards; Ctrl-C cancels it. The answer names all it assumes.

    When the price of agents is unknown, usd is null and the time is still told.
    """
    chosen = Choices(**choices)
    frames_of(chosen)
    path, build = check_scene_file(scene), find_build(wanted)
    with manager(folder) as client:
        inspection = look_at(path, build, chosen)
        asking = _Asking(client, inspection, chosen, agents=agents, quiet=as_json)
        view = asking.ask()
        if view.state is EstimateState.UNKNOWN:
            if no_probe:
                raise UserError(f"the farm knows nothing of {path.name} as it is: leave out --no-probe to find out")
            asking.probe(probe_frames, probe_samples)
            view = asking.ask()
    if view.state is EstimateState.UNKNOWN:
        raise SceneError(f"the probe of {path.name} measured nothing: see the logs of the agents")
    if as_json:
        output.print_json(view.model_dump(mode="json"))
    else:
        print_estimate(view, time.time())


class _Asking:
    """One scene, what the farm says of it, and the probe."""

    def __init__(
        self, client: ManagerClient, inspection: Inspection, choices: Choices, *, agents: int | None, quiet: bool
    ) -> None:
        self._client = client
        self._quiet = quiet
        self._parcel = Parcel(inspection)
        with bytes_progress("Reading", self._parcel.total_bytes, quiet=quiet) as progress:
            self._parcel.hash(progress)
        self._submission = self._parcel.submission(inspection, choices)
        self._request = EstimateRequest(
            settings=job_settings(inspection, choices),
            description=inspection.description,
            tree=tree_key(self._submission.files),
            scene_path=str(inspection.path),
            agents=agents,
        )

    def ask(self) -> EstimateView:
        """What the farm says."""
        return self._client.estimate(self._request)

    def probe(self, frames: int, samples: int | None) -> None:
        """Have a probe rendered. Raises SceneError in Blender's own words when it cannot be."""
        with bytes_progress("Uploading", self._parcel.total_bytes, quiet=self._quiet) as progress:
            self._parcel.upload(self._client, progress)
        job = self._client.probe(ProbeRequest(**dict(self._submission), probe_frames=frames, probe_samples=samples))
        output.say(
            f"Probe {job.id}: {output.plural(job.samples, 'sample')} of {output.plural(job.frames_total, 'frame')}."
        )
        try:
            with JobProgress(quiet=self._quiet) as progress_of:
                ended = follow(self._client, job.id, show=progress_of.show)
        except KeyboardInterrupt:
            self._client.cancel(job.id)
            raise
        if ended.state is not State.COMPLETED:
            raise SceneError(f"the probe {ended.state.value}: {ended.message or 'somebody ended it'}")


def print_estimate(view: EstimateView, now: float) -> None:
    """An estimate for people."""
    for text in view.warnings:
        output.say(f"Warning: {text}.")
    output.print_pairs(
        [
            ("Time", f"{output.duration(view.seconds)}{_range(view.seconds_range, output.duration)}"),
            ("Cost", UNKNOWN if view.usd is None else f"{output.usd(view.usd)}{_range(view.usd_range, output.usd)}"),
            ("Cap", None if view.cap_usd is None else f"{output.usd(view.cap_usd)} should do"),
            ("Memory", None if view.memory_bytes is None else memory.text(view.memory_bytes)),
            ("Agents", view.agents),
            ("Price", _price_text(view)),
            ("Work", f"{output.plural(view.frames, 'frame')} of {output.plural(view.samples, 'sample')}"),
            ("Split", view.strategy_reason),
            ("Measured", _measured_text(view, now)),
        ]
    )
    click.echo()
    rows = [(part.name, output.duration(part.seconds)) for part in view.course]
    output.print_table(["", ">TIME"], rows)
    click.echo()
    bill = [(p.name, "" if p.seconds is None else output.duration(p.seconds), output.usd(p.usd)) for p in view.bill]
    output.print_table(["", ">MACHINE TIME", ">COST"], bill)
    click.echo("\nAssumed:")
    for text in view.assumptions:
        click.echo(f"  - {text}")


def _range(values: tuple[float, float] | None, text: Any) -> str:
    return "" if values is None else f" ({text(values[0])} to {text(values[1])})"


def _price_text(view: EstimateView) -> str | None:
    if view.usd_per_hour is None:
        return None
    age = "" if view.price_age_s is None else f", age: {age_text(view.price_age_s)}"
    return f"{output.usd(view.usd_per_hour)} an hour for each ({view.price_source or UNKNOWN}{age})"


def _measured_text(view: EstimateView, now: float) -> str:
    age = age_text(max(0.0, now - (view.measured_at or now)))
    age = "just now" if age == "now" else f"{age} ago"
    return f"by {'a probe' if view.measured_by == 'probe' else f'job {view.measured_job}'}, {age}"
