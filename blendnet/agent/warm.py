"""The one warm Blender of a pool child: started when needed, kept with its scene open across chunks and jobs."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blendnet.agent import blenders
from blendnet.agent.blender import WarmBlender
from blendnet.agent.blenders import Build
from blendnet.agent.collect import PassFile
from blendnet.agent.workspace import Workspace
from blendnet.errors import BlenderError, BlenderMissing, BlenderUnfetched
from blendnet.messages import LayerSamples, SceneFiles
from blendnet.settings import Settings

logger = logging.getLogger(__name__)

OnEvent = Callable[[Mapping[str, Any]], None]
"""Takes what Blender says while a command runs."""

FINISH_TIMEOUT_S = 3600.0
"""Hard limit for compositing a frame or encoding a video."""
FETCH_PAUSES_S = (5.0, 30.0)
"""Before fetching a Blender again that could not be fetched: together longer than a network is away as a rule."""


@dataclass(frozen=True)
class OpenScene:
    """What distinguishes one open scene from another."""

    blender: str
    workspace: str
    scene: str
    root: str
    scripts: bool


@dataclass(frozen=True)
class ChunkMode:
    """What `prepare` was last called with."""

    samples: int
    layers: tuple[LayerSamples, ...]
    device: str
    resolution_percentage: int | None


class WarmScene:
    """A Blender process and the scene it has open. For one thread; only `kill` may come from others."""

    def __init__(self, settings: Settings, *, folder: Path, log_path: Path) -> None:
        """`folder`: for Blender's temporary files. `log_path`: what it prints."""
        self._settings = settings
        self._stop_fetching = threading.Event()
        self._folder = folder
        self._log_path = log_path
        self.on_change: Callable[[], None] = lambda: None
        """Called when a Blender was started or has ended, or `news` has changed."""
        self.news = ""
        """What goes on before a Blender can be started, for people; '' most of the time."""
        self._blender: WarmBlender | None = None
        self._version = ""
        self._scripted = ""
        """Key of the workspace whose scripts the running Blender may have run; '': of none."""
        self._open: OpenScene | None = None
        self._mode: ChunkMode | None = None
        self.fresh = False
        """True until the first render call after a scene was opened: that call also builds the scene's structures."""

    @property
    def devices(self) -> list[str]:
        """Compute devices of the running Blender."""
        return list(self._blender.hello.get("devices", [])) if self._blender else []

    @property
    def pid(self) -> int | None:
        """Process id of the running Blender."""
        return self._blender.pid if self._blender else None

    @property
    def peak_memory_bytes(self) -> int | None:
        """Most memory that the running or last Blender held; None when nobody knows."""
        return self._blender.peak_memory_bytes if self._blender else None

    @property
    def complaints(self) -> list[str]:
        """Of the last call: what in the scene Blender could not do, and went on without."""
        return self._blender.complaints if self._blender else []

    def load(self, files: SceneFiles, workspace: Workspace) -> float:
        """Have the scene open; seconds that took, 0.0 when it was open already.

        Raises BlenderMissing, BlenderError and its kinds.
        """
        wanted = OpenScene(files.blender, workspace.key, files.scene, files.root, files.allow_scripts)
        if wanted == self._open and self.pid is not None:
            return 0.0
        started = time.monotonic()
        scripted = workspace.key if files.allow_scripts else ""
        # What scripts leave behind, as handlers and changed modules, outlives their scene: not the process.
        others = self._scripted not in ("", scripted)
        if self._blender is None or not self._blender.running or self._version != files.blender or others:
            self._start(files.blender)
        self._open = self._mode = None
        self._scripted = scripted
        self._call(
            "open",
            timeout_s=self._settings.blender_open_timeout_s,
            path=str(workspace.scene),
            root_from=files.root,
            root_to=str(workspace.tree),
            scripts=files.allow_scripts,
        )
        self._open, self.fresh = wanted, True
        return time.monotonic() - started

    def prepare(self, files: SceneFiles, *, samples: int) -> None:
        """Set the open scene up for chunks of frames with so many samples. Raises BlenderError and its kinds."""
        mode = ChunkMode(samples, tuple(files.layers), files.device, files.resolution_percentage)
        if mode == self._mode:
            return
        self._mode = None
        self._call(
            "prepare",
            timeout_s=self._settings.blender_open_timeout_s,
            samples=samples,
            layers=[layer.model_dump() for layer in files.layers],
            device=files.device,
            resolution_percentage=files.resolution_percentage,
        )
        self._mode = mode

    def render(
        self,
        *,
        frame: int,
        offset: int,
        count: int,
        total: int,
        output: Path,
        on_event: OnEvent | None = None,
        limit_s: float = math.inf,
    ) -> tuple[PassFile, ...]:
        """Render samples [offset, offset + count) of a frame into files named like `output`.

        Takes at most `limit_s`, or what the settings allow for a render call if that is less. Raises BlenderError and
        its kinds.
        """
        answer = self._call(
            "render",
            timeout_s=min(limit_s, self._settings.blender_render_timeout_s),
            on_event=on_event,
            frame=frame,
            offset=offset,
            count=count,
            total=total,
            output=str(output),
        )
        self.fresh = False
        return tuple(_pass_file(entry) for entry in answer["files"])

    def finish(self, **arguments: Any) -> dict[str, Any]:
        """Composite a merged frame of the open scene: see in_blender/finish.py. Raises BlenderError and its kinds."""
        return self._call("finish", timeout_s=FINISH_TIMEOUT_S, **arguments)

    def encode(self, **arguments: Any) -> dict[str, Any]:
        """Make a video of finished frames: see in_blender/finish.py. Raises BlenderError and its kinds."""
        return self._call("encode", timeout_s=FINISH_TIMEOUT_S, **arguments)

    def kill(self) -> None:
        """Make the running call fail. From any thread."""
        self._stop_fetching.set()
        blender = self._blender
        if blender is not None:
            blender.kill()

    def close(self) -> None:
        """End Blender; the next `load` starts a fresh one."""
        blender, self._blender = self._blender, None
        self._open = self._mode = None
        if blender is not None:
            blender.close()
            self.on_change()

    def _start(self, version: str) -> None:
        self.close()
        self._blender = WarmBlender(
            self._build(version),
            workdir=self._folder,
            threads=self._settings.blender_threads,
            start_timeout_s=self._settings.blender_start_timeout_s,
            stall_s=self._settings.blender_stall_s,
            memory_bytes=self._settings.blender_memory_bytes,
            network=self._settings.blender_network,
            log_path=self._log_path,
        )
        self._version, self._scripted = version, ""

    def _build(self, version: str) -> Build:
        """The build to start, fetched when it is missing and that is allowed.

        Raises BlenderMissing, BlenderUnfetched, DiskFull, BlenderError when the work that wants it is to end.
        """
        settings = self._settings
        try:
            return blenders.find(version, settings.blenders_dir)
        except BlenderMissing:
            if not settings.blender_fetch or not blenders.VERSION.match(version):
                raise
        self._stop_fetching.clear()
        try:
            for pause_s in FETCH_PAUSES_S:
                try:
                    return self._fetch(version)
                except BlenderUnfetched as error:
                    logger.warning("%s", error)
                self._tell_fetching(f"Blender {version} could not be fetched: trying again in {pause_s:.0f} s", None)
                self._stop_fetching.wait(pause_s)
                self._tell_fetching(f"fetching Blender {version} again", None)
            return self._fetch(version)
        finally:
            self._set_news("")

    def _fetch(self, version: str) -> Build:
        source = blenders.Source(mirror=self._settings.blender_mirror)
        return blenders.install(version, self._settings.blenders_dir, progress=self._tell_fetching, source=source)

    def _tell_fetching(self, step: str, share: float | None) -> None:
        """Raises BlenderError when the work that wants it is to end."""
        if self._stop_fetching.is_set():
            raise BlenderError("no Blender is needed any more")
        self._set_news(step if share is None else f"{step}, {share:.0%}")

    def _set_news(self, news: str) -> None:
        if news != self.news:
            logger.info("%s", news or "done")
            self.news = news
            self.on_change()

    def _call(self, do: str, *, timeout_s: float, **arguments: Any) -> dict[str, Any]:
        """One command. After a failure nothing is taken for open any more; Blender itself stays if it still answers."""
        if self._blender is None:
            raise BlenderError(f"no scene is open that could {do}")
        pid = self._blender.pid
        try:
            return self._blender.call(do, timeout_s=timeout_s, **arguments)
        except BlenderError:
            self._open = self._mode = None
            raise
        finally:
            if self.pid != pid:
                self.on_change()


def _pass_file(entry: Mapping[str, Any]) -> PassFile:
    return PassFile(Path(entry["path"]), {layer["name"]: float(layer["count"]) for layer in entry["layers"]})
