"""Snapshots on disk: listed under their run, and never silently missing."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch


@pytest.fixture
def files(pack, monkeypatch, tmp_path):
    """Where one training keeps what it made."""
    monkeypatch.setattr(pack.folders, "output_folder", lambda: tmp_path)
    return pack.run.RunFiles.of("box", "0123456789ab")


@pytest.fixture
def finished(files, pack_concept):
    """The same training, finished with two snapshots."""
    concept, snapshots = pack_concept("box", "box"), files.snapshots(100, 300)
    for step in snapshots.steps:
        snapshots.keep(concept, step)
    return files.save(concept, [0.5], None, snapshots, picture=torch.zeros(8, 8, 3))


def test_snapshots_lie_in_a_folder_of_their_run_and_the_last_step_has_none(files, finished):
    """Load Perfusion Concept lists a run's snapshots together, in the order of their steps."""
    names = sorted(path.relative_to(files.folder).as_posix() for path in files.folder.rglob("*.safetensors"))
    assert names == [
        "box_0123456789ab.safetensors",
        "box_0123456789ab/step 0100.safetensors",
        "box_0123456789ab/step 0200.safetensors",
    ]
    assert [concept.word for concept in finished.snapshots] == ["box", "box"]


def test_a_finished_training_is_reused_only_with_every_snapshot_that_is_asked_for(files, finished):
    """Snapshots that are wanted are never silently missing; what is there beside them does not matter."""
    assert files.finished() is not None and files.make_ready(files.snapshots(0, 300)) == ""
    assert len(files.finished(files.snapshots(200, 300)).snapshots) == 1
    wanted = files.snapshots(50, 300)
    assert files.finished(wanted) is None
    assert files.make_ready(wanted) == (
        "Trains from the start: an earlier run did not keep the snapshot of step 50 and 2 more."
    )
    files.snapshots(100, 300).path(100).unlink()
    assert files.finished(files.snapshots(100, 300)) is None


@pytest.mark.parametrize(("stopped_at", "goes_on"), [(250, False), (200, False), (100, True), (99, True)])
def test_a_stopped_training_goes_on_only_if_it_kept_what_is_asked_for(
    pack, files, monkeypatch, stopped_at, goes_on
):
    """Asking for snapshots after a cancel starts anew where one was passed, and says so.

    The snapshot of the very step where it goes on is kept when it does.
    """
    files.checkpoint.write_bytes(b"a checkpoint")
    monkeypatch.setattr(pack.files, "saved_step", lambda _path: stopped_at)
    said = files.make_ready(files.snapshots(100, 300))
    assert files.checkpoint.exists() is goes_on
    assert bool(said) is not goes_on and (goes_on or "did not keep the snapshot of step 100" in said)


def test_runs_are_found_among_listed_concepts_with_the_separators_of_any_system(pack):
    """Load Perfusion Snapshots offers trainings with snapshots, and no other concepts."""
    names = ["teddy.safetensors", "step 0100.safetensors", "a/b.safetensors", "a/b/step 0900.safetensors"]
    names += ["a/b/step 10000.safetensors", "a/b/steps.safetensors", r"w\cat\step 0100.safetensors"]
    assert pack.snapshots.listed_runs(names) == {
        "a/b": ["a/b/step 0900.safetensors", "a/b/step 10000.safetensors", "a/b.safetensors"],
        r"w\cat": [r"w\cat\step 0100.safetensors"],
    }


def test_a_folder_that_refuses_a_snapshot_is_named(pack, files, pack_concept):
    """A full or locked disk is told with the folder's name, and not by a missing file later."""
    files.folder.joinpath(files.name).write_text("a file where the folder would be")
    with pytest.raises(ValueError, match="box_0123456789ab.* could not be made"):
        files.snapshots(100, 300).keep(SimpleNamespace(), 100)
