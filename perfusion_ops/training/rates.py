"""Learning rates: the paper's for Stable Diffusion, and in transformers shares of the size of what they move (ours).

A network draws the same pictures with ``c W_V`` and ``W_O / c`` in place of an attention's ``W_V`` and ``W_O``, and the
residual that means the same is then ``c`` times as large. Adam's steps are as large as the learning rate, whatever the
gradient. So a rate that is right for one of the two networks is wrong for the other, unless it is in units of the
values' own size. For keys the same holds with ``W_Q``. Word embeddings are their models' own matter, too: their
authors start them with a deviation of 0.02 in CLIP, and of 1 in T5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .settings import TrainingSettings


class Sizes:
    """Root mean squares of what residuals are added to, each token counted as far as its gate is open."""

    def __init__(self) -> None:
        self.squares: dict[str, Tensor] = {}
        self.counts: dict[str, Tensor] = {}

    def observe(self, name: str, rows: Tensor, gates: Tensor) -> None:
        """``rows`` (B, T, d) that the residual ``name`` is added to, with ``gates`` (B, T, J)."""
        weights = gates.detach().float().sum(-1).to(rows.device)
        squares = rows.detach().float().square().mean(-1)
        for sums, more in ((self.squares, (weights * squares).sum()), (self.counts, weights.sum())):
            sums[name] = sums[name] + more if name in sums else more

    def found(self) -> dict[str, Tensor]:
        """Name of a residual -> root mean square (), float32, on the CPU."""
        return {name: (squares / self.counts[name]).sqrt().cpu() for name, squares in self.squares.items()}


def parameter_groups(
    words: Mapping[str, Tensor], values: Mapping[str, Tensor], keys: Mapping[str, Tensor], settings: TrainingSettings
) -> list[dict[str, Any]]:
    """The optimiser's groups, in the order of ``words``, ``values`` and ``keys``.

    Where rates are relative, each tensor is a group. Those of residuals are named, and wait for their sizes.
    """
    word_rate, rate = settings.word_learning_rate, settings.value_learning_rate
    if not settings.relative_rates:
        groups = [
            {"params": list(words.values()), "lr": word_rate},
            {"params": [*values.values(), *keys.values()], "lr": rate},
        ]
        return [group for group in groups if group["params"]]
    parts = {"value_residuals": values, "key_residuals": keys}
    named = {f"{part}/{layer}": tensor for part, layers in parts.items() for layer, tensor in layers.items()}
    return [
        *({"params": [word], "lr": _share(word_rate, word.square().mean().sqrt())} for word in words.values()),
        *({"params": [tensor], "lr": rate, "share": rate, "residual": name} for name, tensor in named.items()),
    ]


def waits_for_sizes(optimizer: torch.optim.Optimizer) -> bool:
    """Whether any of its rates is a share of what only a forward tells."""
    return any("share" in group for group in optimizer.param_groups)


def use_sizes(optimizer: torch.optim.Optimizer, sizes: Mapping[str, Tensor]) -> None:
    """Set the rates that waited for ``sizes``, by name of the residual."""
    for group in optimizer.param_groups:
        if "share" in group:
            group["lr"] = _share(group["share"], sizes[group["residual"]])


def _share(rate: float, size: Tensor) -> float:
    # What is zero has no size: there the rate is as it was given.
    return rate * (float(size) or 1.0)
