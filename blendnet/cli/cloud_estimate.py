"""`blendnet cloud estimate`: what a scene will cost in a cloud and how long it will take, told before it renders."""

from __future__ import annotations

import difflib
import time
from collections.abc import Sequence
from pathlib import Path

import click

from blendnet.cli import output
from blendnet.cli.cloud_meter import cores
from blendnet.cli.cloud_place import choice_of, place_options
from blendnet.cli.cloud_probe import Aim, Probe, probe, probe_progress
from blendnet.cli.cloud_question import answer, ask
from blendnet.cli.cloud_report import print_estimate, record
from blendnet.cli.cloud_types import entries_of
from blendnet.cli.connect import find_job, manager
from blendnet.cli.farm import ALIVE
from blendnet.cli.options import SAMPLES_MAX, Amount, blender_option, data_option, json_option
from blendnet.cli.scene import Inspection, check_scene_file, find_build
from blendnet.cli.submission import Choices, frames_of
from blendnet.cli.submit import look_at
from blendnet.errors import UserError
from blendnet.manager.folder import DataFolder
from blendnet.provision.base import Provider
from blendnet.provision.estimate import Pace
from blendnet.provision.menu import BLENDER_ARCH, Entry
from blendnet.settings import get_settings

DEFAULT_AGENTS = 4


@click.command()
@click.argument("scene", type=click.Path(path_type=Path), metavar="SCENE.blend")
@place_options
@click.option("--machine", "machines", multiple=True, metavar="TYPE", help="Machine type; may be repeated.")
@click.option(
    "--agents",
    type=click.IntRange(1, 1000),
    default=DEFAULT_AGENTS,
    show_default=True,
    metavar="N",
    help="Machines that render at the same time.",
)
@click.option("--spot/--on-demand", default=None, help="Which price. Default: spot where the provider has it.")
@click.option("--frames", metavar="LIST", help="Frames, as 1-10,20,30-40x2. Default: the scene's range.")
@click.option(
    "--samples", type=click.IntRange(1, SAMPLES_MAX), metavar="N", help="Samples of a frame. Default: the scene's."
)
@click.option(
    "--resolution", type=click.IntRange(1, 1000), metavar="PERCENT", help="Of the scene's size. Default: its own."
)
@click.option(
    "--speed",
    type=Amount(0.001, 100_000),
    metavar="FACTOR",
    help="The machine renders so many times as fast as this one. Default: by its vCPUs and the cores here.",
)
@click.option(
    "--probe-seconds",
    type=Amount(0.1, 3600),
    default=10.0,
    show_default=True,
    metavar="N",
    help="Time for the samples of the probe, about.",
)
@click.option("--job", "words", metavar="JOB", help="No probe: take the pace of this job, which a farm has rendered.")
@blender_option
@click.option("--allow-missing", is_flag=True, help="Estimate even if files that the scene uses are missing.")
@data_option
@json_option
def estimate(
    scene: Path, provider: str | None, region: str | None, option: tuple[str, ...], machines: tuple[str, ...],
    agents: int, spot: bool | None, frames: str | None, samples: int | None, resolution: int | None,
    speed: float | None, probe_seconds: float, words: str | None, wanted: str | None, allow_missing: bool,
    folder: DataFolder, as_json: bool,
) -> None:  # fmt: skip
    """Estimate what a scene will cost in a cloud and how long it will take. Creates nothing there.

    \b
    Examples:
      blendnet cloud estimate scene.blend --provider aws --region eu-central-1
      blendnet cloud estimate scene.blend --provider aws --machine c7a.4xlarge --agents 8 --frames 1-240
      blendnet cloud estimate scene.blend --provider gcp --option project=my-farm --on-demand --json
      blendnet cloud estimate scene.blend --provider aws --machine g6.xlarge --speed 25

    A few samples of the first, the middle and the last frame are rendered on this machine and scaled to the job. How
    fast another machine is can only be assumed from its vCPUs; --speed says it better. With --job the pace of a farm's
    agents counts instead. The answer names everything it assumes. Without --machine the best few types are compared.

    When the price is unknown, usd is null (with a warning) and the time is still told: the exit status stays 0.
    """
    choices = Choices(frames=frames, samples=samples, resolution=resolution, allow_missing=allow_missing)
    frames_of(choices)
    path, build, settings = check_scene_file(scene), find_build(wanted), get_settings()
    choice = choice_of(provider, region, option)
    opened = choice.open(settings)
    as_spot = _spot(opened, spot)
    entries = _entries(opened, machines)
    inspection = look_at(path, build, choices)
    measured = _known(folder, words) if words else _measure(inspection, choices, seconds=probe_seconds, quiet=as_json)
    question = ask(
        inspection, choices, measured, settings=settings, features=opened.features, agents=agents, spot=as_spot,
        speed=speed, provider=opened.name, region=choice.place(settings).region,
    )  # fmt: skip
    found = answer(question, entries, every=bool(machines))
    if as_json:
        output.print_json(record(question, found, time.time()))
    else:
        print_estimate(question, found, time.time())


def _spot(provider: Provider, asked: bool | None) -> bool:
    """Spot machines or not. Raises UserError when the provider has none and they are asked for."""
    if asked and not provider.features.spot:
        reason = provider.features.cannot.get("spot", "it does not have them")
        raise UserError(f"{provider.name} gives no spot machines: {reason}. Leave out --spot")
    return provider.features.spot if asked is None else asked


def _entries(provider: Provider, machines: Sequence[str]) -> list[Entry]:
    """The named machine types with their prices, else all that could render. Raises UserError, FarmError."""
    types = provider.machine_types()
    if not types:
        reason = provider.features.cannot.get("machine types", "it lists none")
        raise UserError(f"{provider.name} has no machine types to estimate with: {reason}")
    if not machines:
        return entries_of(provider, [type_ for type_ in types if type_.arch == BLENDER_ARCH and not type_.gpus])
    by_name = {type_.name: type_ for type_ in types}
    for name in machines:
        if name not in by_name:
            near = difflib.get_close_matches(name, by_name, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else "see `blendnet cloud types`"
            raise UserError(f"{provider.name} has no machine type {name!r} there: {hint}")
    return entries_of(provider, [by_name[name] for name in dict.fromkeys(machines)])


def _measure(inspection: Inspection, choices: Choices, *, seconds: float, quiet: bool) -> Probe:
    """Render the probe. Raises SceneError."""
    aim = Aim(
        frames=frames_of(choices, inspection.description),
        samples=choices.samples or inspection.description.samples,
        resolution=choices.resolution,
        seconds=seconds,
    )
    with probe_progress(quiet=quiet) as say:
        return probe(inspection, aim, say=say)


def _known(folder: DataFolder, words: str) -> Probe:
    """The pace of a job that a farm has rendered. Raises UserError when it has measured nothing yet."""
    with manager(folder) as client:
        job = find_job(client, words)
        if job.sample_s is None:
            raise UserError(f"job {job.id} has measured nothing yet: wait for its first chunk, or leave out --job")
        results = client.results(job.id)
        at_work = sum(agent.state in ALIVE for agent in client.agents())
    frames = {result.frame for result in results if result.frame is not None}
    result_bytes = sum(result.size_bytes for result in results) / max(1, len(frames))
    here = 0 if get_settings().manager_url else max(1, cores() // max(1, at_work))
    return Probe(
        pace=Pace(sample_s=job.sample_s, load_s=job.load_s or 0.0), samples=job.samples_done, seconds=0.0,
        cores=here, result_bytes=result_bytes, finished=False, job=job.id,
    )  # fmt: skip
