"""From a drawing's description to pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pixelworld.art import SIZE, width_for
from pixelworld.once import predict, recalled, the_world
from pixelworld.sampling import sample
from pixelworld.world import pictures_from_latents

from .baselines import adapted_modules
from .methods import applied, taught_of
from .scenes import noise_seed, texts_of
from .specs import ALONE, RESIDUAL, Drawing

BATCH, STEPS, GUIDANCE = 40, 10, 3.0


def draw(drawing: Drawing, states: Sequence[Mapping[str, Tensor]]) -> Tensor:
    """Pictures (prompts * seeds, 16, W, 3), uint8, with what was learned; all prompts with one seed, then the next."""
    texts, width = texts_of(drawing), width_for(len(drawing.learnings))
    taught = taught_of(drawing, states)
    wanted = [(index, seed) for seed in range(drawing.seeds) for index in range(len(texts))]
    size = BATCH if drawing.scene == ALONE else len(texts)
    parts = []
    for part in (wanted[start : start + size] for start in range(0, len(wanted), size)):
        with applied(taught, drawing.dial, [texts[index] for index, _ in part]) as encodings:
            latents = drawn_latents(encodings, [noise_seed(drawing.scene, *entry) for entry in part], width=width)
        parts.append((255 * pictures_from_latents(latents)).round().to(torch.uint8))
    return torch.cat(parts)


@torch.no_grad()
def drawn_latents(
    encodings: Tensor, seeds: Sequence[int], steps: int = STEPS, guidance: float = GUIDANCE, denoiser=predict,
    width: int = SIZE,
) -> Tensor:  # fmt: skip
    """Latents (B, 4, 16, width), with whatever edits are in force."""
    with recalled(adapted_modules(RESIDUAL)):
        return sample(
            the_world(), encodings, list(seeds), steps=steps, guidance=guidance, denoiser=denoiser, width=width
        )
