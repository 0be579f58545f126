"""What the training loop survives: cancelling, killing, running out of memory, diverging."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from builders.tiny_model import SHORT, assert_same_concept, tiny_task
from perfusion_ops import TrainingDiverged, train


@pytest.mark.parametrize("stop_after", [3, 5, 9])
def test_a_cancelled_and_resumed_run_equals_an_uninterrupted_one_to_the_bit(tmp_path, stop_after: int) -> None:
    """A training that is cancelled and queued again ends as if it had never stopped."""

    class Cancelled(BaseException):
        pass

    def cancel(report) -> None:
        if report.step == stop_after:
            raise Cancelled

    path = tmp_path / "run.safetensors"
    with pytest.raises(Cancelled):
        train(tiny_task(), SHORT, checkpoint=path, callback=cancel)
    resumed = train(tiny_task(), SHORT, checkpoint=path)
    whole = train(tiny_task(), SHORT)
    assert_same_concept(resumed.concept, whole.concept)
    assert resumed.losses == whole.losses


def test_a_run_killed_in_the_middle_of_a_step_resumes_to_the_bit(tmp_path) -> None:
    """A crash or a power cut costs the steps since the last checkpoint, and nothing else."""
    task, calls = tiny_task(), []

    def fail_once(*args):
        calls.append(None)
        if len(calls) == 15:
            raise SystemError("killed")
        return task.predict(*args)

    path = tmp_path / "run.safetensors"
    with pytest.raises(SystemError):
        train(replace(task, predict=fail_once), SHORT, checkpoint=path)
    resumed = train(task, SHORT, checkpoint=path)
    assert_same_concept(resumed.concept, train(task, SHORT).concept)


def test_a_resumed_run_takes_a_smaller_micro_batch_when_asked_to(tmp_path) -> None:
    """Who ran out of memory can go on with a smaller micro-batch."""
    path, reports = tmp_path / "run.safetensors", []
    stopped = replace(SHORT, micro_batch=6)

    def stop(report) -> None:
        if report.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny_task(), stopped, checkpoint=path, callback=stop)
    train(tiny_task(), replace(stopped, micro_batch=2), checkpoint=path, callback=reports.append)
    assert reports[0].step == 4 and {report.micro_batch for report in reports} == {2}


def test_out_of_memory_halves_the_micro_batch_and_repeats_the_step() -> None:
    """A card that is too small for the micro-batch trains all the same."""
    task, sizes = tiny_task(sizes=((6, 6),)), []

    def small_memory(noisy, *args):
        sizes.append(len(noisy))
        if len(noisy) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return task.predict(noisy, *args)

    whole = train(task, replace(SHORT, micro_batch=6)).concept
    small = train(replace(task, predict=small_memory), replace(SHORT, micro_batch=6)).concept
    assert sizes[:3] == [6, 3, 2] and max(sizes[3:]) == 2
    torch.testing.assert_close(small.target_input, whole.target_input, rtol=1e-4, atol=1e-4)


def test_out_of_memory_with_a_single_picture_is_raised() -> None:
    """Where not even one picture fits, training ends with the reason; it would otherwise never end."""

    def no_memory(*_args):
        raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        train(replace(tiny_task(), predict=no_memory), SHORT)


def test_a_loss_that_is_not_finite_stops_with_the_last_good_state() -> None:
    """A training that diverges stops, and what it had learned before is kept."""
    task, calls = tiny_task(sizes=((6, 6),)), []

    def overflow(*args):
        calls.append(None)
        return task.predict(*args) * (float("nan") if len(calls) > 12 else 1)

    with pytest.raises(TrainingDiverged, match="after step 5.*lower learning rates") as caught:
        train(replace(task, predict=overflow), replace(SHORT, batch_size=2, report_every=4, micro_batch=1))
    assert caught.value.step == 5
    expected = train(task, replace(SHORT, batch_size=2, steps=5, micro_batch=1)).concept
    assert_same_concept(caught.value.concept, expected)


def test_a_gradient_that_is_not_finite_behind_a_finite_loss_stops_too() -> None:
    """A training that diverges is noticed though its loss still looks well."""
    task = tiny_task(sizes=((6, 6),))

    def steep(*args):
        prediction = task.predict(*args)
        return prediction + (prediction - prediction.detach()).abs().sqrt()

    with pytest.raises(TrainingDiverged, match="after step 0") as caught:
        train(replace(task, predict=steep), SHORT)
    assert torch.equal(caught.value.concept.word_embeddings["l"], task.encoder.initial_embeddings()["l"])


def test_reports_tell_where_training_stands() -> None:
    """The node shows step, loss and time left."""
    reports = []
    train(tiny_task(), SHORT, callback=reports.append)
    assert [report.step for report in reports] == list(range(1, 13))
    assert reports[-1].steps == 12 and reports[-1].loss > 0 and reports[-1].seconds_per_step > 0
    assert reports[-1].concept().word == "<mycat>"


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, torch.OutOfMemoryError])
def test_a_training_that_ends_before_its_first_step_leaves_nothing(tmp_path, error) -> None:
    """A file with nothing in it to go on from would lie there for good, whether cancelled, crashed or out of memory."""

    def fail(*_args):
        raise error("before the first step")

    path = tmp_path / "run.checkpoint"
    with pytest.raises(error):
        train(replace(tiny_task(), predict=fail), SHORT, checkpoint=path)
    assert list(tmp_path.iterdir()) == []
