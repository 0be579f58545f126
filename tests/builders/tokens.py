"""Encodings of prompts by kind of token, with a mean, and their text statistics."""

from __future__ import annotations

import torch

from perfusion_ops.text.covariance import TokenKind, UncenteredCovariance

WIDTH = 12


def tokens(count: int = 40, length: int = 9, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Encodings (count, length, WIDTH) with a mean, and kinds as a prompt has them."""
    generator = torch.Generator().manual_seed(seed)
    encodings = torch.randn(count, length, WIDTH, generator=generator) * torch.logspace(0, -2, WIDTH) + 0.5
    ends = torch.randint(2, length, (count, 1), generator=generator)
    places = torch.arange(length).expand(count, length)
    kinds = torch.full((count, length), int(TokenKind.WORD))
    kinds[places == ends], kinds[places > ends], kinds[places == 0] = TokenKind.END, TokenKind.PADDING, TokenKind.START
    return encodings, kinds


def measured(encodings: torch.Tensor, kinds: torch.Tensor, batch: int = 1000, **names) -> UncenteredCovariance:
    statistics = UncenteredCovariance(WIDTH, **names)
    for part, its_kinds in zip(encodings.split(batch), kinds.split(batch), strict=True):
        statistics.update(part, its_kinds)
    return statistics
