"""HiDream and HunyuanDiT in tensors without numbers: what they read off numbers, told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch
from torch import Tensor

from . import host

LLAMA_LAYERS = 32
BERT, MT5 = 1024, (256, 2048)
"""Width of the first text of HunyuanDiT; tokens and width of the second."""


def with_second_text(second, first: Tensor, marks: Tensor) -> tuple[Tensor, Tensor]:
    """A training's prompt (1, T, d) with a second text, in one tensor, and the marks of both.

    Llama's has as many tokens as the first, mT5's as many as the host pads it to.
    """
    if hasattr(second, "masks"):
        texts, both = (first, torch.zeros(1, *MT5)), torch.nn.functional.pad(marks, (0, MT5[0]))
        masks = {name: torch.ones(text.shape[:2]) for name, text in zip(second.masks, texts, strict=True)}
        return second.packed(first, {second.entry: texts[1], **masks}), both
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

    def unpacked_padded(second, packed: Tensor) -> dict[str, Tensor]:
        texts, words = packed[:, 1:, :-1].split((tokens, MT5[0]), 1), packed[:, 1:, -1].split((tokens, MT5[0]), 1)
        whole = {"cross_attn": texts[0][..., :BERT].clone(), second.entry: texts[1].clone()}
        return whole | dict(zip(second.masks, words, strict=True))

    experts = host.comfy("comfy.ldm.hidream.model").MOEFeedForwardSwiGLU
    texts = host.pack("nodes.families.second_text")
    with (
        mock.patch.object(experts, "forward", forward),
        mock.patch.object(texts.SecondText, "unpacked", unpacked),
        mock.patch.object(texts.PaddedTexts, "unpacked", unpacked_padded),
    ):
        yield
