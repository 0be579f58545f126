"""Rates in units of the size of what they move: one number for networks whose values are of any size."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from builders.tiny_model import SHORT, TinyDenoiser, tiny_task
from perfusion_ops import GateKind, KeyLocking, train
from perfusion_ops.training.state import TrainingState

BY_POSITION = replace(SHORT, gate_kind=GateKind.POSITION, relative_rates=True)
TRAINED_KEYS = replace(SHORT, key_locking=KeyLocking.TRAINED, relative_rates=True)


class Scaled(nn.Module):
    """A matrix whose output is ``times`` as large; what reads it makes up for that."""

    def __init__(self, inner: nn.Linear, times: float) -> None:
        super().__init__()
        self.inner, self.times, self.out_features = inner, times, getattr(inner, "out_features", None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.times * self.inner(x)


def scaled_denoiser(times: float) -> TinyDenoiser:
    """Draws what ``TinyDenoiser`` draws; its keys and values are ``times`` as large, and queries as much smaller."""
    denoiser = TinyDenoiser()
    for layer in denoiser.layers:
        layer["k"], layer["v"] = Scaled(layer["k"], times), Scaled(layer["v"], times)
        layer["q"] = Scaled(layer["q"], 1 / times)
        layer["o"] = Scaled(layer["o"], 1 / times)
    return denoiser


def task_of(times: float, settings=BY_POSITION):
    denoiser = scaled_denoiser(times)
    task = tiny_task(predict=denoiser, projections=denoiser.projections)
    return task if settings.gate_kind is GateKind.LEARNED_WORD else replace(task, inverse_covariance=None)


@pytest.mark.parametrize("settings", [BY_POSITION, TRAINED_KEYS], ids=["position", "learned word, trained keys"])
@pytest.mark.parametrize("times", [1 / 16, 16])
def test_networks_that_draw_alike_learn_alike(settings, times: float) -> None:
    """Values of another model may be sixteen times as large: the rate of one network is right for the other."""
    plain, scaled = (train(task_of(each, settings), settings) for each in (1.0, times))
    torch.testing.assert_close(scaled.losses, plain.losses, rtol=1e-4, atol=0)
    for group in ("value_residuals", "key_residuals"):
        for layer, residual in getattr(plain.concept, group).items():
            torch.testing.assert_close(getattr(scaled.concept, group)[layer] / times, residual, rtol=1e-2, atol=1e-4)
    absolute = replace(settings, relative_rates=False)
    with pytest.raises(AssertionError):
        losses = [train(task_of(each, absolute), absolute).losses for each in (1.0, times)]
        torch.testing.assert_close(*losses, rtol=1e-4, atol=0)


def test_a_first_step_is_the_rates_share_of_the_superclass_own_values() -> None:
    """0.05 means: five hundredths of what the superclass's word says in this layer, whatever else a prompt says."""
    task = replace(task_of(1.0), templates=("the {}", "a photo of a {}"))
    settings = replace(BY_POSITION, steps=1, value_learning_rate=0.05, batch_size=64, micro_batch=64)
    found = train(task, settings).concept.value_residuals
    encoded = task.encode(task.templates, None)
    rows = encoded.encodings[encoded.position_marks().bool()]
    for layer, (_, to_v) in task.projections.items():
        size = to_v(rows).square().mean(-1)
        low, high = (0.05 * bound.sqrt().item() for bound in (size.min(), size.max()))
        # Adam's first step is the learning rate, in every direction. Templates are drawn, so the mean is between them.
        steps = found[layer].abs()
        assert steps.max() - steps.min() < 1e-4 and low <= steps.max() <= high


def test_a_word_moves_by_the_rates_share_of_its_embedding() -> None:
    """T5 starts from word embeddings fifty times as large as CLIP's: the rate means the same in both."""
    settings = replace(TRAINED_KEYS, steps=1, word_learning_rate=0.25)
    task = tiny_task()
    start = task.encoder.initial_embeddings()["l"]
    task.encoder.table *= 100
    for times in (100.0, 1.0):
        moved = train(task, settings).concept.word_embeddings["l"] - times * start
        assert moved.abs().max().item() == pytest.approx(0.25 * times * start.square().mean().sqrt().item(), rel=1e-3)
        task.encoder.table /= 100


@pytest.mark.parametrize("settings", [BY_POSITION, TRAINED_KEYS], ids=["position", "learned word, trained keys"])
def test_a_training_that_was_stopped_ends_alike(tmp_path, settings) -> None:
    """The sizes are taken once, at the first step: values that are learned on would change them."""
    task, path = task_of(1.0, settings), tmp_path / "run.safetensors"

    def stop(report) -> None:
        if report.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(task, settings, checkpoint=path, callback=stop)
    continued, whole = train(task, settings, checkpoint=path), train(task, settings)
    assert continued.losses == whole.losses
    for group in ("value_residuals", "key_residuals"):
        pairs = (getattr(result.concept, group) for result in (continued, whole))
        assert all(torch.equal(*both) for both in zip(*(each.values() for each in pairs), strict=True))


def test_a_first_step_that_ran_out_of_memory_leaves_nothing_behind() -> None:
    """A card that is too small for the batch learns what a large one learns."""
    task, calls = task_of(1.0), []

    def predict(noisy, timesteps, encodings):
        calls.append(len(noisy))
        result = task.predict(noisy, timesteps, encodings)
        if len(calls) == 2:
            raise MemoryError
        return result

    settings = replace(BY_POSITION, steps=1, micro_batch=6)
    tight = replace(task, predict=predict)
    out_of_memory = {"is_out_of_memory": lambda error: isinstance(error, MemoryError)}
    again, once = train(tight, settings, **out_of_memory), train(task, settings)
    assert len(calls) > 4, "begun anew, after a forward that had told its sizes"
    for layer, residual in once.concept.value_residuals.items():
        torch.testing.assert_close(again.concept.value_residuals[layer], residual, rtol=1e-5, atol=1e-7)


def test_values_of_no_size_are_learned_at_the_rate_itself() -> None:
    """A layer that says nothing of the superclass can still say something of the concept."""
    task = task_of(1.0)
    with torch.no_grad():
        for _, to_v in task.projections.values():
            to_v.inner.weight.zero_()
    found = train(task, replace(BY_POSITION, steps=1)).concept.value_residuals
    assert all(residual.abs().max().item() == pytest.approx(0.03, rel=1e-3) for residual in found.values())


def test_an_absolute_rate_is_one_group_of_the_optimiser() -> None:
    """Stable Diffusion keeps the paper's rates, and its trainings their files."""
    assert "relative_rates" not in SHORT.as_dict()
    assert len(TrainingState.start(tiny_task(), SHORT).optimizer.param_groups) == 2
