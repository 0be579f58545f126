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

    def make(draw, preview_every=1):
        made = pack.progress.Progress(4, preview_every, draw)
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


def test_the_browser_is_told_the_curve_and_the_time_left(progress, pack, monkeypatch):
    """The node draws how the loss goes and says when the training will end; seldom enough to cost nothing."""
    sent, clock = [], [100.0]
    monkeypatch.setattr(pack.progress, "running_node", lambda: "4:7")
    monkeypatch.setattr(pack.progress, "send_event", lambda name, content: sent.append((name, content)))
    monkeypatch.setattr(pack.progress.time, "monotonic", lambda: clock[0])
    made = progress(lambda _concept: torch.ones(8, 8, 3))
    for step, loss in ((1, 0.5), (2, 0.4), (3, 0.4), (4, 0.3)):
        made(StepReport(step, 4, loss, 30.0, 4, lambda: None))
    made.finished([0.5, 0.3, 0.4, 0.2])
    assert {name for name, _ in sent} == {"perfusion.training"}
    assert [content["step"] for _, content in sent] == [1, 4, 4]
    assert sent[0][1] == {"node": "4:7", "step": 1, "steps": 4, "seconds_left": 90.0, "losses": [(1, 0.5)]}
    assert sent[1][1]["losses"] == [(1, 0.5), (2, 0.4), (4, 0.3)]
    assert sent[2][1]["losses"] == [(1, 0.5), (4, pytest.approx(0.35))]


def test_a_curve_has_few_points_from_the_beginning_to_the_end(pack):
    """The browser draws a training of ten thousand steps as quickly as one of four hundred."""
    curve = pack.loss_curve.LossCurve.of([1 - step / 10_000 for step in range(10_000)])
    steps, losses = zip(*curve.points, strict=True)
    assert 100 <= len(steps) <= 200 and steps[0] <= 10 and steps[-1] > 9_800
    assert list(losses) == sorted(losses, reverse=True)
    curve.add(10_001, float("nan"))
    assert curve.points[-1][0] == steps[-1]


def test_the_time_left_is_told_beyond_a_day(progress):
    """A training of days on a processor is not said to end within hours."""
    made = progress(lambda _concept: torch.ones(8, 8, 3))
    made(StepReport(1, 4, 0.5, 36_000.5, 4, lambda: None))
    assert "30:00:01 left" in "\n".join(made.told)


def test_a_warning_stays_on_the_node_while_the_training_shows_its_progress(progress):
    """A warning that the first step would replace is read by nobody."""
    made = progress(lambda _concept: torch.ones(8, 8, 3))
    made.warning = "1 and 3 are the same picture."
    made(report(1))
    assert made.told[-1].startswith("1/4") and made.told[-1].endswith("\n1 and 3 are the same picture.")


@pytest.mark.parametrize(("preview_every", "count"), [(0, 0), (2, 2), (3, 1), (4, 1), (100, 1)])
def test_a_short_training_has_a_preview_too(progress, preview_every, count):
    """Fewer steps than between two previews leave a picture of the subject, not a black one."""
    made = progress(lambda _concept: torch.ones(8, 8, 3), preview_every)
    for step in range(1, 5):
        made(report(step))
    assert len(made.previews) == count
