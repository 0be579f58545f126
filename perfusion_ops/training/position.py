"""A training step with a position gate: value residuals alone, at the superclass's own tokens (ours)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from ..edit.context import EditedContext
from ..edit.equations import position_gates
from ..edit.injection import InjectedEdit
from .batch import Draw, micro_batches, picture_losses
from .settings import TrainingSettings
from .state import TrainingState
from .task import Encoded, TrainingTask


def position_step(
    task: TrainingTask,
    settings: TrainingSettings,
    state: TrainingState,
    draws: Sequence[Draw],
    injected: InjectedEdit,
    prompts: dict[str, Encoded],
) -> Tensor:
    """One optimiser step on ``draws``; returns the batch's loss (). ``state`` is untouched if it raises midway.

    Each distinct template is encoded once in a training and kept in ``prompts``. Keys and values are the superclass
    prompt's own; no gradient goes beyond the residuals, so none passes the text encoder.
    """
    state.optimizer.zero_grad()
    _encode_new(task, state, [draw.template for draw in draws], prompts)
    residuals = {layer: residual.unsqueeze(0) for layer, residual in state.value_residuals.items()}
    loss = torch.zeros((), device=task.device)

    def lengths(draw: Draw) -> Hashable:
        return prompts[draw.template].encodings.shape, prompts[draw.template].lengths

    with state.measuring(injected):
        for chunk in micro_batches(task, draws, state.memory.pictures, lengths):
            shown = [prompts[draw.template] for draw in chunk]
            encodings = torch.cat([prompt.encodings for prompt in shown])
            marks = torch.cat([prompt.position_marks() for prompt in shown]).unsqueeze(-1)
            injected.use(EditedContext(encodings, encodings, position_gates(marks, [settings.gate])), residuals)
            part = picture_losses(task, chunk, encodings).sum() / len(draws)
            part.backward()
            loss += part.detach()
    injected.clear()
    state.optimizer.step()
    return loss


def _encode_new(task: TrainingTask, state: TrainingState, templates: list[str], prompts: dict[str, Encoded]) -> None:
    """One by one: a prompt's length is its own in models that do not pad."""
    with torch.no_grad(), state.memory.of_the_text_encoder():
        for template in templates:
            if template not in prompts:
                prompts[template] = task.encode([template], None)
