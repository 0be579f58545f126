"""HiDream in tensors without numbers: what it reads off numbers, told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch
from torch import Tensor

from . import host

LLAMA_LAYERS = 32


def with_second_text(second, first: Tensor, marks: Tensor) -> tuple[Tensor, Tensor]:
    """A training's prompt (1, T, d) with a second text of as many tokens, in one tensor, and the marks of both."""
    layers = {second.entry: first.unsqueeze(1).expand(-1, LLAMA_LAYERS, -1, -1)}
    return second.packed(first, layers), torch.cat((marks, *[marks] * second.times), 1)


@contextmanager
def without_numbers(tokens: int) -> Iterator[None]:
    """Every expert takes as many places as another; a second text is ``tokens`` long, as the first is."""

    def forward(self, x: Tensor) -> Tensor:
        _, weights, _ = self.gate(x)
        places = x.view(-1, x.shape[-1]).repeat_interleave(self.num_activated_experts, dim=0)
        taken = zip(self.experts, places.chunk(len(self.experts)), strict=True)
        found = torch.cat([expert(share) for expert, share in taken]).view(*weights.shape, -1)
        return (found * weights.unsqueeze(-1)).sum(dim=1).view(x.shape) + self.shared_experts(x)

    def unpacked(second, packed: Tensor) -> dict[str, Tensor]:
        first, others = packed[:, 1 : 1 + tokens], packed[:, 1 + tokens :]
        return {"cross_attn": first, second.entry: others.unflatten(1, (LLAMA_LAYERS, -1))}

    experts = host.comfy("comfy.ldm.hidream.model").MOEFeedForwardSwiGLU
    texts = host.pack("nodes.families.second_text").SecondText
    with mock.patch.object(experts, "forward", forward), mock.patch.object(texts, "unpacked", unpacked):
        yield
