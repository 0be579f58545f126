"""A soft mask of what a word names, from a base model's own cross-attention (as in Hertz et al. 2022, section 3.1).

Attention of the places of a noisy picture to the word's tokens, over layers, heads, noise levels and draws of noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

NOISE_LEVELS = (0.15, 0.3, 0.45)
"""Shares of the model's timesteps, 0 without noise: nearer 0 the picture is no task, nearer 1 it is gone."""
SOFTNESS = 0.05
"""How wide the mask's edge is, in shares of the map's range."""
BLUR = 0.5
"""Standard deviation of the smoothing, in latent cells."""
BINS = 64


def word_attention(queries: Tensor, keys: Tensor, heads: int, word: Sequence[int]) -> Tensor:
    """The share of its attention that each place gives to the tokens ``word`` (B, N), mean over heads.

    ``queries`` (B, N, heads * width), ``keys`` (B, T, heads * width): what a cross-attention layer's projections give.
    """
    q, k = (t.unflatten(-1, (heads, -1)).transpose(1, 2).float() for t in (queries, keys))
    shares = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1)
    return shares[..., list(word)].sum(-1).mean(1)


def joined(maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Maps (B, h, w) of all layers and noise levels, each in its own size -> their mean (B, *size).

    Each map is first brought to mean 0 and deviation 1, so that no layer counts more because it attends more.
    """
    total = torch.zeros(len(maps[0]), *size)
    for layer in maps:
        large = functional.interpolate(layer[:, None].float().cpu(), size=size, mode="bilinear")[:, 0]
        spread = large.std((1, 2), keepdim=True).clamp_min(1e-12)
        total += (large - large.mean((1, 2), keepdim=True)) / spread
    return total / len(maps)


def soft_mask(attention: Tensor, threshold: float = 0.0) -> Tensor:
    """A mask (B, H, W), 0 to 1, of joined maps (B, H, W): smoothed, cut softly where Otsu's threshold parts them.

    ``threshold`` moves the cut, in shares of each map's range: below 0 the mask grows, above it shrinks.
    """
    smooth = _blurred(attention)
    low, high = smooth.amin((1, 2), keepdim=True), smooth.amax((1, 2), keepdim=True)
    level = (smooth - low) / (high - low).clamp_min(1e-12)
    cuts = torch.stack([otsu(one) for one in level]).reshape(-1, 1, 1) + threshold
    mask = torch.sigmoid((level - cuts) / SOFTNESS)
    return mask / mask.amax((1, 2), keepdim=True)


def otsu(level: Tensor) -> Tensor:
    """The value that parts the values 0 to 1 of a map into the two classes furthest apart (Otsu 1979)."""
    counts = torch.histc(level.float(), BINS, 0, 1)
    centres = (torch.arange(BINS) + 0.5) / BINS
    below, total = counts.cumsum(0), counts.sum()
    sums = (counts * centres).cumsum(0)
    above = total - below
    gap = sums / below.clamp_min(1) - (sums[-1] - sums) / above.clamp_min(1)
    between = below * above * gap.square()
    best = between == between.max()
    # Between two classes far apart every cut is as good: the middle one.
    return (centres + 0.5 / BINS)[best].mean()


def _blurred(maps: Tensor) -> Tensor:
    reach = max(1, math.ceil(2 * BLUR))
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / BLUR) ** 2)
    weights = weights / weights.sum()
    padded = functional.pad(maps[:, None], [reach] * 4, mode="replicate")
    across = functional.conv2d(padded, weights.view(1, 1, 1, -1))
    return functional.conv2d(across, weights.view(1, 1, -1, 1))[:, 0]
