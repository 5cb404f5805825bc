"""The command line as a whole: fast to answer, clear when it refuses, the same for people and programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from blendnet.cli import app
from tests.cli.conftest import Done
from tests.manager.farms import make_kit

BLENDNET = Path(sys.executable).with_name("blendnet")
COMMANDS = [
    "", "render", "estimate", "up", "down", "status", "deps", "merge", "doctor", "gc", "backup", "restore",
    "job", "job submit", "job list", "job show", "job wait", "job logs", "job download", "job pause", "job resume",
    "job cancel", "job retry", "job priority", "job remove",
    "agent", "agent list", "agent add", "agent remove", "agent interrupt", "agent logs",
    "blender", "blender list", "blender install", "blender path",
    "cloud", "cloud doctor", "cloud types", "cloud estimate", "cloud prepare", "cloud remains", "cloud remove",
    "cloud up", "cloud start", "cloud stop", "cloud status", "cloud logs", "cloud destroy",
]  # fmt: skip
SLOW_TO_LOAD = {"celery", "fastapi", "httpx", "numpy", "OpenEXR", "pydantic", "redis", "sqlalchemy"}
"""Packages whose import takes longer than everything else that help needs."""


@pytest.mark.parametrize(
    ("words", "needed"),
    [([], set()), (["cloud", "types"], {"pydantic"}), (["cloud", "up"], {"httpx", "pydantic"})],
    ids=["blendnet", "types", "up"],
)
def test_help_loads_nothing_that_takes_long(words: list[str], needed: set[str]) -> None:
    """Of a group of commands, the one that runs is loaded and no other."""
    program = (
        "import sys\n"
        "from blendnet.cli import main\n"
        f"sys.argv = ['blendnet', *{words}, '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("Usage: ")
    assert SLOW_TO_LOAD & set(done.stderr.split()) == needed


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command or "blendnet")
def test_every_command_explains_itself(run: Callable[..., Done], command: str) -> None:
    done = run(*command.split(), "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: blendnet")
    if command not in ("", "job", "agent", "blender", "cloud"):
        assert "--json" in done.stdout


@pytest.mark.parametrize(
    ("args", "status", "words"),
    [
        (["frob"], 2, "there is no command 'frob'"),
        (["job", "frob"], 2, "frob"),
        (["render", "--frob"], 2, "--frob"),
        (["render"], 1, "blendnet render scene.blend"),
        (["render", "{tmp}/none.blend"], 1, "cannot read the scene"),
        (["render", "{tmp}"], 1, "cannot read the scene"),
        (["render", "{tmp}/text.blend"], 1, "is not a .blend file"),
        (["render", "{tmp}/head.blend", "--frames", "1-"], 1, "'1-' is not a frame"),
        (["render", "{tmp}/head.blend", "--frames", ""], 1, "a frame is missing"),
        (["render", "{tmp}/head.blend", "--blender", "1.2"], 1, "no Blender 1.2"),
        (["render", "{tmp}/head.blend", "--blender", "/no/blender"], 1, "/no/blender"),
        (["render", "{tmp}/head.blend", "--samples", "0"], 2, "--samples"),
        (["render", "{tmp}/head.blend", "--agents", "0"], 2, "--agents"),
        (["deps", "{tmp}/none.blend"], 1, "cannot read the scene"),
        (["status", "--data", "{tmp}/none"], 1, "blendnet up"),
        (["job", "list", "--data", "{tmp}/none"], 1, "blendnet up"),
        (["agent", "add", "--data", "{tmp}/none"], 1, "blendnet up"),
        (["doctor", "--data", "{tmp}/none"], 1, "blendnet up"),
        (["gc", "--data", "{tmp}/none"], 1, "blendnet up"),
        (["costs", "--cap-day", "nan"], 2, "nan is no amount"),
        (["job", "cap", "j", "nan"], 2, "nan is no amount"),
        (["gc", "--max-size", "big"], 2, "is not a size such as 50GB"),
        (["gc", "--older-than", "long"], 2, "is not a time such as 14d"),
        (["backup", "{tmp}/file", "--data", "{tmp}/none"], 1, "there is no ledger"),
        (["restore", "{tmp}/none", "--data", "{tmp}/farm"], 1, "there is no file"),
        (["restore", "{tmp}/text.blend", "--data", "{tmp}/farm"], 1, "is no backup"),
        (["merge", "--output", "{tmp}/o.exr", "a.exr"], 1, "FILE:OFFSET:COUNT"),
        (["merge", "--output", "{tmp}/none/o.exr", "a.exr:0:1"], 1, "cannot write"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_refusal_is_one_clear_sentence(
    run: Callable[..., Done], tmp_path: Path, args: list[str], status: int, words: str
) -> None:
    (tmp_path / "text.blend").write_text("hello")
    (tmp_path / "head.blend").write_bytes(b"BLENDER-v405" + bytes(100))
    done = run(*(arg.format(tmp=tmp_path) for arg in args))
    assert done.returncode == status
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_refusal_is_json_for_programs(run: Callable[..., Done], tmp_path: Path) -> None:
    done = run("status", "--data", tmp_path / "none", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == "conflict"
    assert "blendnet up" in done.stderr


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["people", "programs"])
def test_fault_of_ours_is_json_for_programs_and_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    def failing(**_: object) -> None:
        raise KeyError("a secret")

    monkeypatch.setattr(app.blendnet, "main", failing)
    monkeypatch.setattr(sys, "argv", ["blendnet", "status", *options])
    with pytest.raises(KeyError):
        app.run()
    said = capsys.readouterr().out
    told = {"error": {"code": "error", "message": "blendnet failed (KeyError): stderr has more"}}
    assert (json.loads(said) if options else said) == (told if options else "")


def test_ending_a_farm_that_does_not_run_is_no_error(run: Callable[..., Done], tmp_path: Path) -> None:
    done = run("down", "--data", tmp_path / "none", "--json")
    assert (done.returncode, json.loads(done.stdout)["stopped"]) == (0, False)


def test_output_cut_off_by_its_reader_is_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [str(BLENDNET), "--help"], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    finally:
        os.close(writer)
    assert "Traceback" not in done.stderr


def test_farm_that_is_down_is_checked_backed_up_and_cleaned(run: Callable[..., Done], tmp_path: Path) -> None:
    kit = make_kit(tmp_path / "farm")
    job = kit.submit()
    kit.complete(job)
    picture = next(result for result in kit.farm.results(job.id) if result.kind == "image")
    kit.farm.ledger.close()
    data = ("--data", tmp_path / "farm", "--json")
    assert run("backup", tmp_path / "backup", *data).returncode == 0
    kit.farm.store.delete(picture.sha256)
    seen = run("doctor", "--deep", "--no-repair", *data)
    assert (seen.returncode, json.loads(seen.stdout)["well"]) == (1, False)
    assert run("doctor", *data).returncode == 0
    assert run("doctor", "--data", tmp_path / "farm").returncode == 0
    assert run("gc", "--dry-run", "--older-than", "1s", "--max-size", "1GB", *data).returncode == 0
    restored = run("restore", tmp_path / "backup", *data)
    assert (restored.returncode, Path(json.loads(restored.stdout)["aside"]).exists()) == (0, True)
    assert run("doctor", "--no-repair", *data).returncode == 1
