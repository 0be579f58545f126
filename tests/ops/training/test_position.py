"""Training with a position gate: values alone, at the superclass's own tokens."""

from __future__ import annotations

from dataclasses import replace

import torch

from builders.tiny_model import SHORT, TinyDenoiser, tiny_task
from perfusion_ops import EditedContext, GateKind, inject, train
from perfusion_ops.edit.equations import position_gates
from perfusion_ops.training.batch import draw_batch
from perfusion_ops.training.noise import masked_loss
from perfusion_ops.training.position import position_step
from perfusion_ops.training.state import TrainingState

POSITION = replace(SHORT, gate_kind=GateKind.POSITION)


def task_without_statistics(**changes):
    return replace(tiny_task(**changes), inverse_covariance=None)


def test_it_learns_in_every_layer_without_statistics():
    """Training finds the subject, and needs no C and no gradient through the text encoder."""
    task = task_without_statistics(sizes=((6, 6),))
    settings = replace(POSITION, steps=150, batch_size=8, micro_batch=8)
    result = train(task, settings)
    untrained = train(task, replace(settings, value_learning_rate=0.0))
    better = [a < b for a, b in zip(result.losses[-50:], untrained.losses[-50:], strict=True)]
    assert sum(better) >= 45 and result.concept.gate is GateKind.POSITION
    assert all(residual.abs().max() > 0.05 for residual in result.concept.value_residuals.values())


def test_each_template_is_encoded_once_in_a_training():
    """The text encoder can leave the device: a training asks for each prompt once."""
    task = task_without_statistics()
    asked = []
    encode = task.encoder.encode
    task.encoder.encode = lambda templates, embeddings: asked.append(templates) or encode(templates, embeddings)
    train(task, POSITION)
    assert sorted(sum(asked, [])) == sorted(set(sum(asked, [])))


def test_gradients_to_the_residuals_equal_finite_differences():
    """The residual's gradient through the denoiser, in float64."""
    denoiser, generator = TinyDenoiser(dtype=torch.float64), torch.Generator().manual_seed(0)
    noisy, noise = (torch.randn(2, 4, 6, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    encodings = torch.randn(2, 9, 16, generator=generator, dtype=torch.float64)
    marks = torch.zeros(2, 9, 1, dtype=torch.float64)
    marks[:, 4:6] = 1

    def loss(residual: torch.Tensor) -> torch.Tensor:
        with inject(denoiser.projections) as injected:
            context = EditedContext(encodings, encodings, position_gates(marks, [POSITION.gate]))
            injected.use(context, {layer: residual.unsqueeze(0) for layer in denoiser.projections})
            prediction = denoiser(noisy, torch.tensor([10, 60]), encodings)
        return masked_loss(prediction.double(), noise, torch.ones(2, 6, 6, dtype=torch.float64)).double().sum()

    residual = (0.1 * torch.randn(12, generator=generator, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(loss, (residual,), eps=1e-6, atol=1e-6)


def test_micro_batches_add_up():
    """A small card learns what a large one learns."""
    task = task_without_statistics(sizes=((6, 6), (6, 8)))

    def gradients(micro_batch: int) -> list[torch.Tensor]:
        settings = replace(POSITION, micro_batch=micro_batch)
        state = TrainingState.start(task, settings)
        draws = draw_batch(task, settings, torch.Generator().manual_seed(0))
        with task.inject() as injected:
            position_step(task, settings, state, draws, injected, {})
        return [p.grad for group in state.optimizer.param_groups for p in group["params"]]

    for one, many in zip(gradients(1), gradients(6), strict=True):
        torch.testing.assert_close(one, many, rtol=1e-4, atol=1e-7)


def test_prompts_of_unlike_lengths_are_never_in_one_batch():
    """Models that do not pad, and those that read two texts, take a batch only of prompts that are equally long."""
    task, seen = task_without_statistics(sizes=((6, 6),)), []
    encode, predict = task.encoder.encode, task.predict
    whole = slice(None)
    own = {"the {}": (slice(0, 6), ()), "my {} at night": (whole, (4, 6)), "a photo of a {}": (whole, (5, 5))}

    def encode_unlike(templates, embeddings):
        encoded, (tokens, lengths) = encode(templates, embeddings), own[templates[0]]
        return replace(encoded, encodings=encoded.encodings[:, tokens], lengths=lengths)

    def watched(noisy, timesteps, encodings):
        seen.append(encodings)
        return predict(noisy, timesteps, encodings)

    task.encoder.encode = encode_unlike
    train(replace(task, predict=watched), replace(POSITION, steps=4, batch_size=8, micro_batch=8))
    assert {each.shape[1] for each in seen} == {6, 10} and max(map(len, seen)) > 1
    assert all(torch.equal(each, each[:1].expand_as(each)) for each in seen), "each template is a batch of its own"


def test_a_stopped_training_goes_on_to_the_bit(tmp_path):
    """Cancel and queue again: the same concept as without a break."""
    whole = train(task_without_statistics(), POSITION)

    def stop(report):
        if report.step == 3:
            raise KeyboardInterrupt

    path = tmp_path / "run.checkpoint"
    try:
        train(task_without_statistics(), POSITION, checkpoint=path, callback=stop)
    except KeyboardInterrupt:
        pass
    resumed = train(task_without_statistics(), POSITION, checkpoint=path)
    assert resumed.losses == whole.losses and len(whole.losses) > 3
    for name, residual in whole.concept.value_residuals.items():
        assert torch.equal(residual, resumed.concept.value_residuals[name])
