"""Masks from the base model's own attention: how near they are to the true ones, by choice of layers and noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from perfusion_ops.training.subject_mask import NOISE_LEVELS, joined, soft_mask, word_attention
from pixelworld.once import predict, the_world
from pixelworld.scene import Individual, draw, training_pictures
from pixelworld.text_encoder import END
from pixelworld.unet import HEADS
from pixelworld.world import as_batch, latents_from_pictures

from .specs import Subject
from .statistics import mean_interval

PROMPT = "a photo of a {}"
LEVELS = (0.05, 0.15, 0.3, 0.45, 0.6, 0.75)
CHOSEN, WAY_UP = "0.15, 0.3, 0.45", "output"
GROUPS = {"all": "", "way up": WAY_UP, "way down": "input"}
MASKS = {"0.05, 0.15, 0.3": LEVELS[:3], CHOSEN: NOISE_LEVELS, "0.45, 0.6, 0.75": LEVELS[3:], "0.3": (0.3,)}
COLUMNS = ("area under ROC", "soft IoU", "IoU", "of the body, white")
Maps = dict[tuple[str, float], Tensor]
"""(layer, noise level) -> attention to the superclass (pictures, h, w)."""


@torch.no_grad()
def attention_maps(individual: Individual, latents: Tensor, levels: Sequence[float], seed: int) -> Maps:
    """The base model's attention to the individual's superclass in its noisy pictures (B, 4, 16, 16)."""
    world, prompt = the_world(), PROMPT.format(individual.class_word)
    end = world.text_encoder.tokens(prompt).index(END)
    word = range(end - len(individual.class_word.split()), end)
    encodings = world.text_encoder.encode([prompt]).expand(len(latents), -1, -1)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed))
    maps: Maps = {}

    def watching(name: str):
        def watch(layer, args: tuple) -> None:
            hidden, context = args
            side = math.isqrt(hidden.shape[1])
            shares = word_attention(layer.to_q(hidden), layer.to_k(context), HEADS, word)
            maps[name, level] = shares.reshape(-1, side, side)

        return watch

    layers = {name: layer for name, layer in world.unet.named_modules() if name.endswith(".attn2")}
    hooks = [layer.register_forward_pre_hook(watching(name)) for name, layer in layers.items()]
    try:
        for level in levels:
            step = round(level * (len(world.alphas_cumprod) - 1))
            alpha = world.alphas_cumprod[step]
            noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
            predict(noisy, torch.full((len(latents),), step), encodings)
    finally:
        for hook in hooks:
            hook.remove()
    return maps


def found_masks(individual: Individual, latents: Tensor, seed: int = 0) -> Tensor:
    """The masks (B, 16, 16) that Perfusion Subject Mask gives, from the same equations."""
    return soft_mask(_chosen(attention_maps(individual, latents, NOISE_LEVELS, seed), WAY_UP, NOISE_LEVELS))


def _chosen(maps: Maps, group: str, levels: Sequence[float]) -> Tensor:
    return joined([one for (name, level), one in maps.items() if name.startswith(group) and level in levels], (16, 16))


@cache
def _looked_at(subject: Subject) -> tuple[Maps, Tensor, Tensor]:
    """Attention in the subject's training pictures, and their true masks (B, 16, 16): the body, and with soft edges."""
    shots = training_pictures(subject.individual(), 5, subject.index)
    latents = latents_from_pictures(as_batch([shot.pixels for shot in shots]))
    bodies = torch.from_numpy(np.stack([draw(shot.scene).body_masks[0] for shot in shots]))
    soft = torch.from_numpy(np.stack([shot.mask for shot in shots]))
    return attention_maps(subject.individual(), latents, LEVELS, 0), bodies, soft


def quality(subject: Subject, group: str, levels: Sequence[float]) -> list[float]:
    """COLUMNS of one subject, means over its pictures."""
    maps, bodies, soft = _looked_at(subject)
    attention = _chosen(maps, group, levels)
    masks = soft_mask(attention)
    white = masks > 0.5
    return [
        float(np.mean([area_under_roc(one, body) for one, body in zip(attention, bodies, strict=True)])),
        float((torch.minimum(masks, soft).sum((1, 2)) / torch.maximum(masks, soft).sum((1, 2))).mean()),
        float(((white & bodies).sum((1, 2)) / (white | bodies).sum((1, 2))).mean()),
        float(((white & bodies).sum((1, 2)) / bodies.sum((1, 2))).mean()),
    ]


def area_under_roc(scores: Tensor, truth: Tensor) -> float:
    """The chance that a cell of the truth scores higher than another; ties count half (Hanley & McNeil 1982)."""
    inside, outside = scores[truth], scores[~truth]
    higher = (inside[:, None] > outside).double() + 0.5 * (inside[:, None] == outside).double()
    return float(higher.mean())


def quality_row(subjects: Sequence[Subject], group: str, levels: Sequence[float]) -> dict[str, str]:
    found = np.array([quality(subject, group, levels) for subject in subjects])
    return {column: str(mean_interval(found[:, number])) for number, column in enumerate(COLUMNS)}


def choice_rows(subjects: Sequence[Subject]) -> list[dict[str, str]]:
    """What each choice of layers and noise gives."""
    return [
        {"layers": name, "noise levels": levels} | quality_row(subjects, group, MASKS[levels])
        for name, group in GROUPS.items()
        for levels in MASKS
    ]
