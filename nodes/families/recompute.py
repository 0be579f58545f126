"""Blocks that are computed again in the backward pass, instead of keeping their activations."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recompute(blocks: Iterable[nn.Module]) -> None:
    """The host adds to a block's inputs in place: what is computed again must start from them as they were."""
    for block in blocks:
        block.forward = recomputed(_on_copies(block.forward))


def _on_copies(forward):
    def copied(value):
        return value.clone() if isinstance(value, Tensor) and value.is_floating_point() else value

    return lambda *args, **kwargs: forward(*map(copied, args), **{name: copied(v) for name, v in kwargs.items()})


def recomputed(forward):
    """``forward``, keeping its inputs alone for the backward pass."""
    return lambda *args, **kwargs: checkpoint(forward, *args, use_reentrant=False, **kwargs)
