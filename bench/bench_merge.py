"""The merge of 4 and 16 segments of a 1920x1080 frame, 48 channels, against reading and writing the same bytes once.

`python -m bench.bench_merge` runs it alone. Every measurement is a process of its own, so that CPU time and peak
memory are its own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from blendnet.merge import exr
from blendnet.merge.frame import SegmentFile, merge_segments

WIDTH, HEIGHT, THREADS = 1920, 1080, 2
BAND_ROWS = 32
SEGMENT_SAMPLES = 24
CPU_TARGET, MEMORY_TARGET = 1.3, 2.5
PASSES = {
    "RGBA": ("Combined",),
    "RGB": ("DiffDir", "DiffInd", "DiffCol", "GlossDir", "GlossInd", "GlossCol", "Emit", "Env"),
    "XYZ": ("Normal",),
    "UVA": ("UV",),
    "XYZW": ("Vector",),
    "Z": ("Depth", "Mist"),
    "rgba": ("CryptoObject00", "CryptoObject01"),
}
"""Components -> passes: 48 channels as Blender writes them. Their number is checked below."""


def channels() -> list[str]:
    names = [f"ViewLayer.{name}.{c}" for components, passes in PASSES.items() for name in passes for c in components]
    return [*names, "ViewLayer.AO.R", "ViewLayer.AO.G"][:48]


def make_segment(path: Path, seed: int) -> None:
    """A picture like a render: objects with smooth shading and sampling noise before an even background."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    cell = ((x // 160) + 12 * (y // 180)).astype(np.uint32)
    distance = np.hypot(x % 160 - 80, y % 180 - 90)
    inside = (distance < 70).astype(np.float32)
    edge = ((distance > 68) & (distance < 70)).astype(np.float32)
    shade = inside * (0.3 + 0.2 * np.cos(distance / 9))
    noise = random.standard_normal((HEIGHT, WIDTH), np.float32) * 0.01
    planes = {}
    for number, name in enumerate(channels()):
        planes[name] = (shade * (1 + number / 50) + np.roll(noise, 7 * number, axis=0) * inside).astype(np.float32)
    ids = (cell * np.uint32(2654435761) % np.uint32(1 << 30) + np.uint32(1 << 24)).view(np.float32)
    other = (cell + np.uint32(7777777)).view(np.float32)
    for level, (first, second, share) in enumerate([(ids, other, 0.25), (ids * 0, ids * 0, 0.0)]):
        prefix = f"ViewLayer.CryptoObject0{level}."
        planes[prefix + "r"], planes[prefix + "g"] = first * inside, (inside - share * edge) * (level == 0)
        planes[prefix + "b"], planes[prefix + "a"] = second * edge, share * edge
    exr.write(path, exr.Image(planes, exr.header_for(WIDTH, HEIGHT)), compression="ZSTD")


def floor(folder: Path, count: int) -> None:
    """The same bytes read once and written once, band by band, with nothing between: no merge can be cheaper."""
    exr.set_threads(THREADS)
    with ExitStack() as stack:
        readers = [stack.enter_context(exr.BandReader(folder / f"{n}.exr")) for n in range(count)]
        header, names = readers[0].header, readers[0].channels
        writer = stack.enter_context(exr.BandWriter(folder / "floor.exr", header, names))
        for start in range(0, HEIGHT, BAND_ROWS):
            stop = min(start + BAND_ROWS, HEIGHT)
            for reader in readers:
                band = reader.read(names, start, stop)
            writer.write(band)


def merge(folder: Path, count: int) -> None:
    parts = [SegmentFile(folder / f"{n}.exr", n * SEGMENT_SAMPLES, SEGMENT_SAMPLES) for n in range(count)]
    merge_segments(parts, folder / "merged.exr", threads=THREADS)


def make(folder: Path, count: int) -> None:
    for number in range(count):
        make_segment(folder / f"{number}.exr", number)


WORK: dict[str, Callable[[Path, int], None]] = {"floor": floor, "merge": merge, "make": make}


def measure(work: str, folder: Path, count: int) -> dict[str, float]:
    """Wall seconds, CPU seconds and peak MiB above the idle process of one piece of work, in a process of its own."""
    command = [sys.executable, "-m", "bench.bench_merge", work, str(folder), str(count)]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def run_here(work: str, folder: Path, count: int) -> dict[str, float]:
    idle = peak_mib()
    wall, cpu = time.perf_counter(), time.process_time()
    WORK[work](folder, count)
    used = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "mib": peak_mib() - idle}
    return {name: round(value, 3) for name, value in used.items()}


def peak_mib() -> float:
    """Peak resident memory of this process. getrusage would count the parent's from before exec on Linux."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / (1 << 20)


def report(count: int, folder: Path) -> None:
    frame_mib = 4 * WIDTH * HEIGHT * len(channels()) / (1 << 20)
    measure("make", folder, count)
    runs = {work: min((measure(work, folder, count) for _ in range(3)), key=_cpu) for work in ("floor", "merge")}
    print(f"merge of {count} segments {WIDTH}x{HEIGHT}, {len(channels())} float channels, {THREADS} threads")
    for work, name in (("floor", "read + write once"), ("merge", "merge")):
        used = runs[work]
        print(f"  {name:<20} wall {used['wall']:6.2f} s   CPU {used['cpu']:6.2f} s   memory {used['mib']:6.0f} MiB")
    cpu = runs["merge"]["cpu"] / runs["floor"]["cpu"]
    wall = runs["merge"]["wall"] / runs["floor"]["wall"]
    memory = runs["merge"]["mib"] / frame_mib
    print(f"  ratio                CPU {cpu:.2f} (to reach: {CPU_TARGET})   wall {wall:.2f}", end="")
    print(f"   memory {memory:.2f} decoded frames (to reach: {MEMORY_TARGET})", flush=True)


def _cpu(used: dict[str, float]) -> float:
    return used["cpu"]


def main(arguments: list[str] | None = None) -> int:
    if arguments:
        work, folder, count = arguments
        print(json.dumps(run_here(work, Path(folder), int(count))))
        return 0
    for count in (4, 16):
        with tempfile.TemporaryDirectory(prefix="bench-merge-") as folder:
            report(count, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
