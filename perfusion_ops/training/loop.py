"""The training loop: a concept from a few pictures, by gradients of the masked loss (section 4.2)."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..concept.concept import Concept, GateKind
from ..edit.context import EditedContext, edit_context
from ..edit.injection import InjectedEdit
from .batch import Draw, draw_batch, micro_batches, picture_losses, run_identity
from .memory import encode_within, superclass_prompts_within
from .position import position_step
from .settings import TrainingSettings
from .state import TrainingState
from .task import Encoded, TrainingTask


@dataclass(frozen=True)
class StepReport:
    """The progress after a step."""

    step: int
    """Steps done, 1 or more."""
    steps: int
    loss: float
    """Mean loss over the steps last read (``report_every``)."""
    seconds_per_step: float
    micro_batch: int
    concept: Callable[[], Concept]
    """A snapshot of the concept as it is now."""


@dataclass(frozen=True)
class TrainingResult:
    """What a finished training gives."""

    concept: Concept
    losses: tuple[float, ...]
    """The masked loss (eq. 6) of every step, averaged over its batch."""


class TrainingDiverged(RuntimeError):
    """The loss stopped being finite. ``concept`` is the last good state, ``step`` when it was."""

    def __init__(self, concept: Concept, step: int) -> None:
        super().__init__(
            f"The loss became infinite or not a number after step {step}. The concept of that step is kept; train with "
            "lower learning rates, or in bfloat16 or float32 instead of float16."
        )
        self.concept, self.step = concept, step


def train(
    task: TrainingTask,
    settings: TrainingSettings,
    *,
    checkpoint: Path | None = None,
    callback: Callable[[StepReport], None] | None = None,
    snapshot_every: int = 0,
    keep_snapshot: Callable[[Concept, int], None] = lambda concept, step: None,
    is_out_of_memory: Callable[[BaseException], bool] = lambda error: isinstance(error, torch.OutOfMemoryError),
) -> TrainingResult:
    """Train one concept: the word, ``i*`` and a value residual ``r`` a layer, by the masked loss (section 4.2).

    With ``checkpoint``, the state is written there every ``checkpoint_every`` steps and whenever the loop is left by
    an exception, including one that ``callback`` raises to cancel; the same call continues it, equal to the bit.
    Before the first step there is nothing to continue, so nothing is written.
    ``keep_snapshot`` gets the concept and the step every ``snapshot_every`` steps (0: never), but not at the last; a
    continued training may give the snapshot of the step it continues from once more.
    Raises TrainingDiverged when the loss is not finite, ValueError for a checkpoint of another run.
    """
    state = TrainingState.start(task, settings)
    identity = run_identity(task, settings)
    if checkpoint is not None and checkpoint.exists():
        state.restore(checkpoint, identity)
    loop = _Loop(task, settings, state)
    try:
        with task.inject() as injected:
            while state.step < settings.steps:
                if snapshot_every and state.step and state.step % snapshot_every == 0:
                    loop.read_losses()
                    keep_snapshot(loop.good, state.step)
                report = loop.advance(injected, is_out_of_memory)
                if checkpoint is not None and state.step % settings.checkpoint_every == 0:
                    loop.read_losses()
                    state.save(checkpoint, identity)
                if callback is not None:
                    callback(report)
        loop.read_losses()
    except TrainingDiverged:
        raise
    except BaseException:
        if checkpoint is not None and state.step:
            loop.read_losses()
            state.save(checkpoint, identity)
        raise
    return TrainingResult(state.concept(task, settings), tuple(state.losses))


class _Loop:
    """Steps with their clock, their unread losses, and the snapshot to fall back on."""

    def __init__(self, task: TrainingTask, settings: TrainingSettings, state: TrainingState) -> None:
        self.task, self.settings, self.state = task, settings, state
        self.superclass_prompts: dict[str, Any] = {}
        self.take_step = STEPS[settings.gate_kind]
        self.unread: list[Tensor] = []
        self.good = state.concept(task, settings)
        self.good_step = state.step
        self.started, self.first_step = time.monotonic(), state.step

    def advance(self, injected: InjectedEdit, is_out_of_memory: Callable[[BaseException], bool]) -> StepReport:
        generator = torch.Generator()
        generator.set_state(self.state.random_state)
        draws = draw_batch(self.task, self.settings, generator)
        self.unread.append(self._step_within_memory(draws, injected, is_out_of_memory))
        self.state.random_state = generator.get_state()
        self.state.step += 1
        if self.state.step == 1 or len(self.unread) == self.settings.report_every:
            self.read_losses()
        done = self.state.step - self.first_step
        return StepReport(
            step=self.state.step,
            steps=self.settings.steps,
            loss=_mean(self.state.losses[-self.settings.report_every :]),
            seconds_per_step=(time.monotonic() - self.started) / done,
            micro_batch=self.state.memory.pictures,
            concept=lambda: self.state.concept(self.task, self.settings),
        )

    def _step_within_memory(self, draws, injected, is_out_of_memory) -> Tensor:
        while True:
            try:
                return self.take_step(self.task, self.settings, self.state, draws, injected, self.superclass_prompts)
            except BaseException as error:
                if not is_out_of_memory(error) or not self.state.memory.halve():
                    raise
            injected.clear()
            # Graphs that the failed step left in reference cycles hold activations.
            gc.collect()

    def read_losses(self) -> None:
        """Wait for the losses of the last steps. Raises TrainingDiverged if they or what was learned are not finite."""
        if not self.unread:
            return
        losses = torch.stack(self.unread).tolist()
        self.unread = []
        if not (all(map(math.isfinite, losses)) and self.state.is_finite()):
            raise TrainingDiverged(self.good, self.good_step)
        self.state.losses += losses
        self.good, self.good_step = self.state.concept(self.task, self.settings), self.state.step


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def training_step(
    task: TrainingTask,
    settings: TrainingSettings,
    state: TrainingState,
    draws: Sequence[Draw],
    injected: InjectedEdit,
    superclass_prompts: dict[str, Tensor],
) -> Tensor:
    """One optimiser step on ``draws``; returns the batch's loss (). ``state`` is untouched if it raises midway.

    The micro-batches leave their gradients on the edited context, from where a single backward carries them to each
    distinct template's encodings, and on through the text encoder to the concept word.
    """
    state.optimizer.zero_grad()
    templates = list(dict.fromkeys(draw.template for draw in draws))
    encoded, carry_to_word = encode_within(state.memory, task, templates, state.word_embeddings)
    target_input = state.followed_target_input(encoded.concept_encodings().float().mean(0), settings)
    context = _training_context(task, settings, state, encoded, target_input, templates, superclass_prompts)
    leaf = EditedContext(*(t.detach().requires_grad_() for t in (context.keys, context.values, context.gates)))
    loss = torch.zeros((), device=task.device)
    with state.measuring(injected):
        for chunk in micro_batches(task, draws, state.memory.pictures):
            rows = torch.tensor([templates.index(draw.template) for draw in chunk], device=leaf.keys.device)
            injected.use(leaf.rows(rows), _one_concept(state.value_residuals), _one_concept(state.key_residuals))
            part = picture_losses(task, chunk, encoded.encodings.detach()[rows]).sum() / len(draws)
            part.backward()
            loss += part.detach()
    injected.clear()
    pairs = [(whole, part.grad) for whole, part in zip(_parts(context), _parts(leaf), strict=True)]
    pairs = [(whole, grad) for whole, grad in pairs if whole.requires_grad and grad is not None]
    torch.autograd.backward([whole for whole, _ in pairs], [grad for _, grad in pairs])
    if encoded.encodings.grad is not None:
        carry_to_word(encoded.encodings.grad)
    state.optimizer.step()
    state.target_input = target_input.detach()
    return loss


def _parts(context: EditedContext) -> tuple[Tensor, Tensor, Tensor]:
    return context.keys, context.values, context.gates


def _one_concept(residuals: dict[str, Tensor]) -> dict[str, Tensor]:
    return {layer: residual.unsqueeze(0) for layer, residual in residuals.items()}


def _training_context(task, settings, state, encoded: Encoded, target_input, templates, superclass_prompts):
    """The edit by the one concept in training (eq. 3), differentiable to the word and to ``i*``."""
    superclass_prompt = None
    if settings.key_locking.uses_superclass_prompt:
        superclass_prompt = superclass_prompts_within(state.memory, task, templates, superclass_prompts)
    encodings = encoded.encodings.float()
    context = edit_context(
        encodings,
        target_input.unsqueeze(0),
        (state.inverse_covariance @ target_input).unsqueeze(0),
        state.superclass_encoding.unsqueeze(0),
        [settings.gate],
        [settings.key_locking],
        superclass_prompt,
    )
    return context if encoded.keep is None else context.keeping(encoded.keep, encodings)


STEPS = {GateKind.LEARNED_WORD: training_step, GateKind.POSITION: position_step}
