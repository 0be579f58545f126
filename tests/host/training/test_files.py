"""What a training keeps on disk: found again by everything that decides it, finished only when all of it is there."""

from __future__ import annotations

import pytest
import torch
from PIL import Image


@pytest.fixture
def files(pack, monkeypatch, tmp_path):
    """``files(key)``: where a training of that key keeps what it made."""
    monkeypatch.setattr(pack.folders, "output_folder", lambda: tmp_path)
    return lambda key="0123456789ab": pack.run.RunFiles.of("my box!", key)


def test_a_training_is_found_again_by_everything_that_decides_it(pack):
    """Queueing again reuses a training; a changed picture, text or number is another one."""
    pixels = torch.arange(6.0).view(1, 2, 3)
    key = pack.run.run_key("box", 400, pixels)
    assert key == pack.run.run_key("box", 400, pixels.clone()) and len(key) == 12
    changed = [("cup", 400, pixels), ("box", 401, pixels), ("box", 400, pixels + 1), ("box", 400, pixels.view(2, 1, 3))]
    assert len({key, *(pack.run.run_key(*parts) for parts in changed)}) == 5


def test_a_finished_training_is_read_back_whole_and_nothing_unfinished_is_left(files, pack_concept):
    """A training that is found again gives its concept, losses and previews, and clears what cancels had left."""
    run, concept = files(), pack_concept("my box!", "box")
    run.checkpoint.write_bytes(b"a checkpoint")
    run.save_partial(concept, 5, torch.zeros(4, 4, 3))
    assert run.finished() is None
    sheet = torch.linspace(0, 1, 5).view(1, 5, 1).expand(4, 5, 3)
    run.save(concept, [0.5, 0.25], sheet, picture=torch.ones(600, 400, 3))
    found = files().finished()
    assert found.losses == [0.5, 0.25] and torch.allclose(found.sheet, sheet, atol=0.5 / 255 + 1e-6)
    assert all(torch.equal(found.concept.value_residuals[name], r) for name, r in concept.value_residuals.items())
    assert {path.suffix for path in run.folder.iterdir()} == {".safetensors", ".json", ".png", ".jpg"}
    assert len(list(run.folder.glob("*.safetensors"))) == 1


def test_a_concept_has_one_small_picture_of_its_name(files, pack_concept):
    """The browser shows what a concept looks like, and never the strip of all previews in its place."""
    run = files()
    run.save(pack_concept("my box!", "box"), [0.5], torch.zeros(8, 32, 3), picture=torch.ones(600, 400, 3))
    beside = [path for path in run.folder.iterdir() if path.stem == run.concept.stem and path != run.concept]
    assert [path.suffix for path in beside] == [".jpg"]
    assert Image.open(beside[0]).size == (256, 384)


def test_a_disk_that_refuses_the_picture_costs_no_training(files, pack_concept, pack, monkeypatch, caplog):
    """A training is kept although there is no room for its thumbnail, and the log says what is missing."""

    def refuse(*_arguments):
        raise OSError(28, "No space left on device")

    run = files()
    monkeypatch.setattr(pack.thumbnails, "write_atomically", refuse)
    assert run.save(pack_concept("my box!", "box"), [0.5], None, picture=torch.zeros(4, 4, 3)) is not None
    assert f"thumbnail of '{run.concept.name}' could not be saved (No space left on device)" in caplog.text


def test_a_training_that_stopped_while_it_was_saved_counts_as_unfinished(files, pack_concept):
    """A crash in the last second costs the last steps, and never gives half a result."""
    run = files()
    run.save(pack_concept("my box!", "box"), [0.5], None, picture=torch.zeros(4, 4, 3))
    run.losses.unlink()
    assert run.finished() is None


def test_the_files_of_a_training_bear_a_name_that_every_system_takes(files):
    """A concept word of any script or sign can be trained on every system."""
    assert files().concept.name == "my_box__0123456789ab.safetensors"
    assert files("another").concept != files().concept


def test_every_file_of_a_training_with_the_longest_word_can_be_written(pack, files, pack_concept):
    """The last step of an hour would fail because the word is long: 64 bytes, of which one spelling makes more."""
    run = pack.run.RunFiles.of("\u0344" * 32, "0123456789ab")
    run.save_partial(pack_concept("rex", "dog"), 100_000, torch.zeros(4, 4, 3))
    run.save(pack_concept("rex", "dog"), [0.5], torch.zeros(4, 4, 3), picture=torch.zeros(4, 4, 3))
    assert run.finished() is not None


@pytest.mark.parametrize("ending", [".checkpoint", ".safetensors"])
def test_a_training_of_an_earlier_version_goes_on_under_its_old_name(pack, files, ending):
    """An update of the pack would train again what is already trained, since words are now spelled in full."""
    folder, word = files().folder, "\u0e40\u0e14\u0e47\u0e01"
    (folder / f"_____0123456789ab{ending}").touch()
    assert pack.run.RunFiles.of(word, "0123456789ab").name == "_____0123456789ab"
    assert pack.run.RunFiles.of(word, "9876543210ab").name == f"{word}_9876543210ab"


def test_a_folder_without_room_is_told_before_the_training(pack, files, monkeypatch):
    """The disk would be found full after an hour, when the concept is to be kept."""

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    run = files()
    assert run.make_ready(run.snapshots(0, 5)) == "" and list(run.folder.iterdir()) == []
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="could not be saved .No space left on device.; expected 1,048,576 bytes of room"):
        run.make_ready(run.snapshots(0, 5))
    assert list(run.folder.iterdir()) == []


def test_what_a_crash_left_of_a_checkpoint_goes_with_the_training(files, pack_concept):
    """Every crash in the middle of writing would leave a file for good, which no list shows."""
    run = files()
    left = [run.folder / f".{run.name}{ending}.0123.part" for ending in (".checkpoint", ".losses.json")]
    other = run.folder / f".{files('another').name}.checkpoint.0123.part"
    for path in (*left, other):
        path.touch()
    run.save(pack_concept("my box!", "box"), [0.5], None, picture=torch.zeros(4, 4, 3))
    assert other.exists() and not any(path.exists() for path in left)
