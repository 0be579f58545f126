"""What a training shows of itself, and what it survives while it does."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from perfusion_ops import StepReport


@pytest.fixture
def progress(pack, monkeypatch):
    """``progress(draw)``: a training's progress on no node, which notes what it tells in ``told``."""
    told = []
    monkeypatch.setattr(pack.progress, "running_node", lambda: None)
    monkeypatch.setattr(pack.progress, "show_on_node", lambda text, _node: told.append(text))
    bar = SimpleNamespace(update_absolute=lambda *_arguments: None)
    monkeypatch.setattr(pack.progress.comfy.utils, "ProgressBar", lambda _steps: bar)

    def make(draw):
        made = pack.progress.Progress(4, 1, draw)
        made.told = told
        return made

    return make


def report(step: int, micro_batch: int = 4) -> StepReport:
    return StepReport(step, 4, 0.5, 1.0, micro_batch, lambda: None)


def test_a_preview_without_room_in_memory_is_left_out_and_said_to_be(progress, caplog):
    """A long training is not lost to a preview that the card has no room for."""
    pictures = [torch.OutOfMemoryError("out of memory"), torch.ones(8, 8, 3)]

    def draw(_concept):
        found = pictures.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    made = progress(draw)
    made(report(1))
    assert made.told[-1] == "No preview at step 1: memory ran out. Training goes on."
    assert made.told[-1] in caplog.text and made.sheet() is None
    made(report(2))
    assert made.sheet().shape == (8, 8, 3)


def test_any_other_error_of_a_preview_ends_the_training(progress):
    """A preview that fails for another reason is not passed over in silence."""
    with pytest.raises(ZeroDivisionError):
        progress(lambda _concept: 1 / 0)(report(1))


def test_the_log_says_that_pictures_are_computed_fewer_at_a_time(progress, caplog):
    """Who wonders why a training became slower finds the reason in the log."""
    caplog.set_level("INFO")
    made = progress(lambda _concept: torch.ones(8, 8, 3))
    made(report(1, 4))
    made(report(2, 4))
    assert "at a time" not in caplog.text
    made(report(3, 2))
    assert "memory ran out at step 3; pictures are now computed 2 at a time" in caplog.text


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"), True),
        (RuntimeError("shapes do not fit"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_memory_that_ran_out_is_known_by_torchs_and_the_drivers_words(pack, error, expected):
    """Running out of memory is survived on every kind of card, and no other error is taken for it."""
    assert pack.device_memory.is_out_of_memory(error) is expected
