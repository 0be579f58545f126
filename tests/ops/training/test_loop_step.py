"""A whole training step against the same written out: each picture alone, each projection by the paper's equation."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from builders.tiny_model import SHORT, tiny_task
from perfusion_ops import KeyLocking
from perfusion_ops.training.batch import draw_batch
from perfusion_ops.training.loop import training_step
from perfusion_ops.training.state import TrainingState

START = 0
"""The start token's place, which no edit touches."""


class Written(nn.Module):
    """``W e - s W i* + g (W i_s + r)`` at every token but the start, whatever it is given to read."""

    def __init__(self, projection: nn.Linear, edited: tuple[Tensor, Tensor, Tensor], given, residual=0.0) -> None:
        super().__init__()
        (encodings, similarity, gate), (target_input, superclass) = edited, given
        weight, kept = projection.weight, torch.arange(encodings.shape[1]) == START
        plain = encodings @ weight.mT
        change = gate.unsqueeze(-1) * (weight @ superclass + residual)
        change = change - similarity.unsqueeze(-1) * (weight @ target_input)
        self.answer = torch.where(kept.unsqueeze(-1), plain, plain + change)

    def forward(self, _read: Tensor) -> Tensor:
        return self.answer


def written_loss(task, settings, word: Tensor, residuals: dict[str, Tensor], draws) -> Tensor:
    """The mean loss of ``draws`` after a first step's moving average of the target input."""

    def encoded(template: str, embedding: Tensor | None) -> tuple[Tensor, Tensor]:
        encodings = task.encoder.encode([template], None if embedding is None else {"l": embedding}).encodings
        return encodings, encodings[0, 1 + len(template.split("{}")[0].split())]

    superclass = torch.stack([encoded(template, None)[1] for template in task.templates]).mean(0)
    heard = torch.stack([encoded(t, word)[1] for t in dict.fromkeys(d.template for d in draws)]).mean(0)
    decay = settings.target_input_decay
    target_input = (decay * superclass + (1 - decay) * heard).detach() + heard - heard.detach()
    dual = task.inverse_covariance @ target_input

    def edited(encodings: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        similarity = encodings @ dual / (target_input @ dual)
        return encodings, similarity, torch.sigmoid((similarity - settings.gate.bias) / settings.gate.temperature)

    losses = []
    for draw in draws:
        picture, denoiser = task.pictures[draw.picture], copy.deepcopy(task.predict)
        values = edited(encoded(draw.template, word)[0])
        own_keys = settings.key_locking is KeyLocking.LOCAL
        keys = values if own_keys else edited(encoded(draw.template, None)[0])
        for name, layer in zip(residuals, denoiser.layers, strict=True):
            layer["k"] = Written(layer["k"], keys, (target_input, superclass))
            layer["v"] = Written(layer["v"], values, (target_input, superclass), residuals[name])
        latent, mask = picture.latent, picture.mask
        if draw.mirrored:
            latent, mask = latent.flip(-1), mask.flip(-1)
        share = task.schedule.alphas_cumprod[draw.timestep]
        noisy = share.sqrt() * latent + (1 - share).sqrt() * draw.noise
        error = (denoiser(noisy[None], torch.tensor([draw.timestep]), values[0])[0] - draw.noise).square().mean(0)
        losses.append((mask * error).sum() / mask.sum())
    return torch.stack(losses).mean()


@pytest.mark.parametrize("templates_at_once", [6, 1])
@pytest.mark.parametrize("locking", [KeyLocking.LOCAL, KeyLocking.GLOBAL_GATED])
def test_a_step_is_the_written_out_step(locking: KeyLocking, templates_at_once: int) -> None:
    """Loss and gradients of word and values, in micro-batches of unlike pictures and prompts; and what a file keeps."""
    task, settings = tiny_task(), replace(SHORT, key_locking=locking, micro_batch=2, target_input_decay=0.5)
    state = TrainingState.start(task, settings)
    state.memory.templates = templates_at_once
    generator = torch.Generator().manual_seed(5)
    draws = sorted(draw_batch(task, settings, generator), key=lambda draw: draw.template, reverse=True)
    assert len({draw.template for draw in draws}) == 3 and {draw.mirrored for draw in draws} == {True, False}
    with torch.no_grad():
        # As after many steps: at the first, word and values are the superclass's.
        state.word_embeddings["l"].add_(torch.randn(16, generator=generator))
        for residual in state.value_residuals.values():
            residual.copy_(torch.randn(residual.shape, generator=generator))
    word = state.word_embeddings["l"].detach().clone().requires_grad_()
    residuals = {name: r.detach().clone().requires_grad_() for name, r in state.value_residuals.items()}
    expected = written_loss(task, settings, word, residuals, draws)
    expected.backward()
    with task.inject() as injected:
        found = training_step(task, settings, state, draws, injected, {})
    torch.testing.assert_close(found, expected.detach(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(state.word_embeddings["l"].grad, word.grad, rtol=1e-3, atol=1e-6)
    for name, residual in residuals.items():
        torch.testing.assert_close(state.value_residuals[name].grad, residual.grad, rtol=1e-3, atol=1e-6)
        assert residual.grad.abs().max() > 1e-3
    assert word.grad.abs().max() > 1e-4
    kept = state.concept(task, settings)
    dual = task.inverse_covariance @ kept.target_input
    torch.testing.assert_close(kept.target_dual / kept.target_dual.norm(), dual / dual.norm())
