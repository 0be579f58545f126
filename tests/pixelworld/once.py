"""The world loaded once a process, and what is constant in it computed once: text statistics, projections."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from perfusion_ops import EditTerm, JointEdit, NoiseSchedule, TrainingTask, inject
from perfusion_ops.edit.injection import Projections
from perfusion_ops.text.covariance import DEFAULT_MIX, TokenKind, UncenteredCovariance, inverse

from .captions import sample_caption
from .concepts import concept_task, encode_prompts
from .scene import Individual
from .text_encoder import END
from .unet import value_projection_names
from .world import WEIGHTS, World, fast_bfloat16, load_world

MIXES = {
    "words": {TokenKind.WORD: 1.0},
    "words and end": {TokenKind.WORD: 0.9, TokenKind.END: 0.1},
    "no start": DEFAULT_MIX,
    "all": {TokenKind.START: 0.013, TokenKind.WORD: 0.13, TokenKind.END: 0.013, TokenKind.PADDING: 0.844},
}
"""Weights of the kinds; with padding, about their shares in prompts of 77 tokens."""
PADDED_CAPTIONS = 250
"""Captions encoded to their full length, for the padding's second moment; the others stop after their end token."""
CORPUS_SEED, KNOWN_SHARE = 78, 0.3


def weights_path() -> Path:
    """The committed weights, or the file that the environment names in PIXELWORLD_WEIGHTS."""
    return Path(os.environ.get("PIXELWORLD_WEIGHTS", WEIGHTS))


@cache
def the_world() -> World:
    return load_world(weights_path())


def predict(noisy: Tensor, timesteps: Tensor, encodings: Tensor) -> Tensor:
    """The world's noise estimate, in bfloat16 where the processor has it."""
    return predict_with(the_world().unet, noisy, timesteps, encodings)


def predict_velocity(noisy: Tensor, timesteps: Tensor, encodings: Tensor) -> Tensor:
    """The noise estimate as a velocity, ``(noise - sqrt(1 - a) x_t) / sqrt(a)``, float32 (Salimans & Ho 2022)."""
    alpha = the_world().alphas_cumprod[timesteps].view(-1, 1, 1, 1)
    return (predict(noisy, timesteps, encodings) - (1 - alpha).sqrt() * noisy) / alpha.sqrt()


def predict_with(unet: nn.Module, noisy: Tensor, timesteps: Tensor, encodings: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=fast_bfloat16()):
        return unet(noisy.contiguous(memory_format=torch.channels_last), timesteps, encodings).float()


def velocity_task(individual: Individual, inverse: Tensor, *details, predict=predict_velocity, **more) -> TrainingTask:
    """The task of learning ``individual``, by velocities: ``concept_task``'s other arguments may follow."""
    task = concept_task(the_world(), individual, inverse, *details, **more)
    return replace(task, predict=predict, schedule=NoiseSchedule(the_world().alphas_cumprod, "velocity"))


@contextmanager
@torch.no_grad()
def edited(terms: Sequence[EditTerm], texts: Sequence[str]) -> Iterator[Tensor]:
    """Yields the encodings (B, 77, 768) of ``texts``; inside, the U-Net draws them edited by ``terms``, then B empty
    prompts."""
    world, edit, distinct = the_world(), JointEdit.of(terms), list(dict.fromkeys(texts))
    prompts = encode_prompts(world.text_encoder, [*distinct, ""], [term.concept for term in edit.terms])
    parts = prompts.superclass_encodings, prompts.present, prompts.keep, prompts.marks
    context = edit.contexts(prompts.encodings, *parts)
    rows = torch.tensor([distinct.index(text) for text in texts])
    guided = torch.cat([rows, torch.full_like(rows, len(distinct))])
    with inject(value_projection_names(world.unet)) as injected:
        injected.use(context.rows(guided), edit.value_residuals, edit.key_residuals)
        yield prompts.encodings[rows]


@contextmanager
def recalled(projections: Projections) -> Iterator[None]:
    """Inside, a projection is computed at its first call and then recalled: for one batch of prompts, all steps."""
    modules = [module for pair in projections.values() for module in pair]

    def recalling(forward):
        known: list[Tensor] = []

        def recall(encodings: Tensor) -> Tensor:
            if not known:
                known.append(forward(encodings))
            return known[0]

        return recall

    with forwards_in(modules, recalling):
        yield


@contextmanager
def forwards_in(modules: Sequence[nn.Module], wrapping: Callable[[Callable], Callable]) -> Iterator[None]:
    """Inside, every module is called by ``wrapping(forward)``."""
    try:
        for module in modules:
            module.forward = wrapping(module.forward)
        yield
    finally:
        for module in modules:
            del module.forward


def _kinds(rows: list[list[int]]) -> Tensor:
    kinds = torch.full((len(rows), len(rows[0])), int(TokenKind.WORD))
    for number, row in enumerate(rows):
        end = row.index(END)
        kinds[number, 0], kinds[number, end] = TokenKind.START, TokenKind.END
        kinds[number, end + 1 :] = TokenKind.PADDING
    return kinds


@torch.no_grad()
def measure_statistics(captions: list[str], batch: int = 64) -> UncenteredCovariance:
    """Second moments of the world's encodings of ``captions``. The encoder is causal: a prefix stands alone."""
    encoder = the_world().text_encoder
    statistics = UncenteredCovariance(768, "pixel world", f"{len(captions)} captions")
    for start in range(0, len(captions), batch):
        rows = [encoder.tokens(caption) for caption in captions[start : start + batch]]
        length = 77 if start < PADDED_CAPTIONS else max(row.index(END) for row in rows) + 1
        embedded = torch.stack([encoder.embed(row)[:length] for row in rows])
        kinds = _kinds([row[:length] for row in rows])
        if length < 77:
            kinds[kinds == TokenKind.PADDING] = -1
        statistics.update(encoder(embedded), kinds)
    return statistics


def corpus(count: int) -> list[str]:
    """Captions of the pixel world's language, known individuals among them; most were never seen in training."""
    rng = np.random.RandomState(CORPUS_SEED)
    return [sample_caption(rng, known=KNOWN_SHARE).text() for _ in range(count)]


@cache
def inverse_covariance(folder: Path, captions: int, mix: str = "no start", damping: float = 1e-2) -> Tensor:
    """``C^-1`` (768, 768), its second moments measured once and kept in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"statistics-{captions}-{CORPUS_SEED}.safetensors"
    if not path.exists():
        measure_statistics(corpus(captions)).save(path)
    return inverse(UncenteredCovariance.load(path).matrix(MIXES[mix]), damping).float()
