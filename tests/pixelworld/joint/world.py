"""The trained transformer with the first world's text encoder, and its sampler."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ..sampling import initial_noise
from ..text_encoder import TextEncoder
from ..train import SHORT
from ..world import pictures_from_latents
from .transformer import transformer, velocity

WEIGHTS = Path(__file__).with_name("weights.safetensors")
STEPS, GUIDANCE = 10, 3.0
SHIFT = 2.0
"""Of the noise levels that this model is trained on: composition is decided at high noise."""
Denoiser = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(latents (B, 4, 16, W), sigmas (B,), encodings (B, 26, 768)) -> velocity like the latents."""


@dataclass(frozen=True)
class JointWorld:
    """Everything that draws, in float32 on the CPU, frozen."""

    net: nn.Module
    text_encoder: TextEncoder

    def encode(self, texts: list[str]) -> Tensor:
        """Encodings (len(texts), 26, 768): no caption is longer, and the encoder is causal."""
        rows = [self.text_encoder.embed(self.text_encoder.tokens(text)) for text in texts]
        return self.text_encoder(torch.stack(rows)[:, :SHORT])

    def velocity(self, x: Tensor, sigmas: Tensor, encodings: Tensor) -> Tensor:
        return velocity(self.net, x, sigmas, encodings)


def load_world(weights: Path = WEIGHTS) -> JointWorld:
    """The world with the committed weights."""
    net = transformer()
    net.load_state_dict({name: tensor.float() for name, tensor in load_file(weights).items()})
    return JointWorld(net.eval().requires_grad_(False), TextEncoder())


@cache
def the_joint_world() -> JointWorld:
    return load_world()


def shifted(sigmas: Tensor) -> Tensor:
    """Noise levels 0..1 with this model's shift (Esser et al. 2024, section 5.3.2)."""
    return SHIFT * sigmas / (1 + (SHIFT - 1) * sigmas)


@torch.no_grad()
def sample(
    world: JointWorld, encodings: Tensor, seeds: list[int], steps: int = STEPS, guidance: float = GUIDANCE,
    denoiser: Denoiser | None = None, width: int = 16,
) -> Tensor:  # fmt: skip
    """Latents (B, 4, 16, width), one seed each: Adams-Bashforth steps of second order, even in sigma, with guidance.

    ``denoiser`` stands in for the world's velocity where edits apply: B prompts, then B empty ones.
    """
    denoiser, empty = denoiser or world.velocity, world.encode([""]).expand_as(encodings)
    both, sigmas = torch.cat([encodings, empty]), torch.linspace(1, 0, steps + 1)
    x, previous = initial_noise(seeds, width), None
    for sigma, following in zip(sigmas[:-1], sigmas[1:], strict=True):
        named, unnamed = denoiser(torch.cat([x, x]), sigma.expand(2 * len(x)), both).chunk(2)
        guided = unnamed + guidance * (named - unnamed)
        x = x + (following - sigma) * (guided if previous is None else 1.5 * guided - 0.5 * previous)
        previous = guided
    return x


def draw(world: JointWorld, texts: list[str], seeds: list[int], batch: int = 64, **options) -> Tensor:
    """Pictures (len(texts), 16, 16, 3) for prompts, a seed each; ``options`` go to the sampler."""
    starts = range(0, len(texts), batch)
    parts = [(world.encode(texts[start : start + batch]), seeds[start : start + batch]) for start in starts]
    return torch.cat([pictures_from_latents(sample(world, *part, **options)) for part in parts])
