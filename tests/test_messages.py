"""What travels between client, Manager and agents: bad values never get in."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from blendnet import messages
from blendnet.messages import (
    Blob,
    ClaimRequest,
    FailureReport,
    FileEntry,
    JobSettings,
    JobSubmission,
    SceneDescription,
    check_tree_path,
    ranges,
)
from blendnet.models import SampleRange, Strategy

SHA = "0" * 64
DESCRIPTION = {
    "blender": "4.5.15",
    "scene": "Scene",
    "engine": "CYCLES",
    "has_camera": True,
    "frame_start": 1,
    "frame_end": 2,
    "width": 64,
    "height": 36,
    "samples": 16,
    "layers": [{"name": "ViewLayer", "samples": 16}],
    "sample_method": "subset",
}
SUBMISSION = {
    "name": "still",
    "scene": "scenes/still.blend",
    "files": [{"path": "scenes/still.blend", "sha256": SHA, "size_bytes": 10}],
    "settings": {"frames": [1], "samples": 16, "blender": "4.5.15"},
    "description": DESCRIPTION,
}


@pytest.mark.parametrize("path", ["a.blend", "tex/wood.png", "a b/ü.png", "..a/b", ".hidden/x", "a/..."])
def test_path_is_kept_as_it_is_when_it_stays_in_the_tree(path):
    assert check_tree_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "C:/x",
        "c:x",
        "//server/share",
        "..",
        "../x",
        "a/../../x",
        "a/../b",
        ".",
        "./a",
        "a//b",
        "a/",
        "a\\b",
        "..\\x",
        "a\0b",
        "a\nb",
        "x" * 1025,
    ],
)
def test_path_is_refused_when_it_leaves_the_tree_or_is_not_normalised(path):
    with pytest.raises(ValueError, match="path"):
        check_tree_path(path)


@settings(deadline=None)
@given(st.text(max_size=40))
def test_path_joined_to_a_folder_stays_in_it_whatever_is_accepted(path):
    try:
        check_tree_path(path)
    except ValueError:
        return
    joined = posixpath.normpath(posixpath.join("/tree", path))
    assert joined.startswith("/tree/")


@pytest.mark.parametrize("sha256", ["", "0" * 63, "0" * 65, "G" * 64, "A" * 64, "../" + "0" * 61, SHA + "\n"])
def test_blob_is_refused_when_its_name_is_not_a_sha256(sha256):
    with pytest.raises(ValidationError):
        Blob(sha256=sha256, size_bytes=1)


def test_blob_is_refused_when_its_size_is_negative():
    with pytest.raises(ValidationError):
        Blob(sha256=SHA, size_bytes=-1)


def test_file_is_refused_when_its_path_leaves_the_tree():
    with pytest.raises(ValidationError, match="leaves the job's tree"):
        FileEntry(path="../x", sha256=SHA, size_bytes=1)


def test_submission_survives_the_way_through_json():
    submission = JobSubmission.model_validate(SUBMISSION)
    assert JobSubmission.model_validate_json(submission.model_dump_json()) == submission
    assert submission.settings.strategy is Strategy.AUTO


@pytest.mark.parametrize(
    "changes",
    [
        {"frames": []},
        {"frames": [1] * (messages.MAX_FRAMES + 1)},
        {"samples": 0},
        {"samples": messages.MAX_SAMPLES + 1},
        {"chunk_samples": 0},
        {"priority": 101},
        {"resolution_percentage": 0},
        {"strategy": "halves"},
        {"unknown": 1},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_settings_are_refused_when_a_value_makes_no_sense(changes):
    with pytest.raises(ValidationError):
        JobSettings.model_validate(SUBMISSION["settings"] | changes)


def test_settings_take_negative_frames():
    assert JobSettings(frames=[-5, 0], samples=1, blender="4.5").frames == [-5, 0]


@pytest.mark.parametrize(
    "changes",
    [{"name": ""}, {"name": "x" * 201}, {"files": []}, {"scene": "/abs.blend"}, {"extra": True}],
    ids=lambda changes: next(iter(changes)),
)
def test_submission_is_refused_when_a_part_is_missing_or_too_much(changes):
    with pytest.raises(ValidationError):
        JobSubmission.model_validate(SUBMISSION | changes)


def test_description_of_a_newer_blender_is_read_when_it_says_more_than_we_know():
    assert SceneDescription.model_validate(DESCRIPTION | {"hologram": True}).samples == 16


def test_messages_cannot_be_changed_once_made():
    blob = Blob(sha256=SHA, size_bytes=1)
    with pytest.raises(ValidationError):
        blob.size_bytes = 2


def test_failure_report_is_refused_when_its_log_is_unbounded():
    with pytest.raises(ValidationError):
        FailureReport(token=1, kind="crash", message="m", log="x" * 20_001)


def test_claim_is_refused_when_the_agent_has_no_name():
    with pytest.raises(ValidationError):
        ClaimRequest(agent="")


def test_pairs_become_sample_ranges():
    assert ranges([(0, 8), (8, 4)]) == [SampleRange(0, 8), SampleRange(8, 4)]
