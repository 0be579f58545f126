"""The baselines' additions to the U-Net: low-rank adapters and whole-weight changes, attached for a while."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Pair = tuple[Tensor, Tensor]
"""down (rank, in) or, for a convolution, (rank, in, h, w); up (out, rank)."""


def new_pairs(modules: Mapping[str, nn.Module], rank: int, seed: int) -> dict[str, Pair]:
    """Untrained adapters: down as a fresh linear layer, up zero (Hu et al. 2021)."""
    generator = torch.Generator().manual_seed(seed)
    pairs = {}
    for name, module in modules.items():
        shape = (rank, *module.weight.shape[1:])
        down = torch.randn(shape, generator=generator) / module.weight[0].numel() ** 0.5
        pairs[name] = (down.requires_grad_(), torch.zeros(module.weight.shape[0], rank).requires_grad_())
    return pairs


@contextmanager
def adapted(modules: Mapping[str, nn.Module], pairs: Mapping[str, Pair], strength: float = 1.0) -> Iterator[None]:
    """Adds ``strength * up(down(x))`` to every module's output."""
    handles = [modules[name].register_forward_hook(_adder(*pair, strength)) for name, pair in pairs.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _adder(down: Tensor, up: Tensor, strength: float):
    def add(module: nn.Module, args: tuple[Tensor], output: Tensor) -> Tensor:
        if isinstance(module, nn.Conv2d):
            low = F.conv2d(args[0], down, stride=module.stride, padding=module.padding)
            return output + strength * F.conv2d(low, up[..., None, None])
        return output + strength * F.linear(F.linear(args[0], down), up)

    return add


@contextmanager
def restored(module: nn.Module) -> Iterator[None]:
    """Weights may be changed inside; on leaving they are what they were, to the bit."""
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    try:
        yield
    finally:
        module.load_state_dict(before)


@contextmanager
def moved_weights(module: nn.Module, changes: Mapping[str, Tensor], strength: float = 1.0) -> Iterator[None]:
    """Inside, the weights are moved by ``strength * changes``."""
    with restored(module):
        with torch.no_grad():
            for name, change in changes.items():
                module.get_parameter(name).add_(strength * change)
        yield
