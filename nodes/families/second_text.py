"""A second text beside the encodings: where layers read it, and both as one tensor for a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class SecondText:
    """A text that a conditioning holds under a name of its own, of several of its encoder's layers (B, L, T', d)."""

    entry: str
    """Its name in the conditioning."""
    tokenizers: tuple[str, str]
    """Whose tokens the first text and the second have, as prompts name them."""
    times: int
    """How often it stands behind the first text in every layer's attention."""

    def in_sequence(self, first: Tensor, entries: Mapping[str, Any], times: int | None = None) -> Tensor:
        """Both texts as they stand in the attention (B, T + times T', d), the second by its last layer's encodings.

        Whatever is marked in either stays so: nothing else of the encodings is read here.
        """
        second = entries.get(self.entry)
        if second is None:
            return first
        texts = [first, *[second[:, -1].to(first.device)] * (self.times if times is None else times)]
        width = max(text.shape[-1] for text in texts)
        return torch.cat([nn.functional.pad(text, (0, width - text.shape[-1])) for text in texts], dim=1)

    def packed(self, first: Tensor, entries: Mapping[str, Any]) -> Tensor:
        """Both texts, of one width, in one tensor (B, 1 + T + L T', d), whose first row says how many T and L are."""
        second = entries[self.entry]
        row = first.new_zeros(len(first), 1, first.shape[-1])
        row[:, :, 0], row[:, :, 1] = first.shape[1], second.shape[1]
        return torch.cat((row, first, second.flatten(1, 2).to(first)), dim=1)

    def unpacked(self, packed: Tensor) -> dict[str, Tensor]:
        """The same as the conditioning has them, the encodings under the host's name for them."""
        tokens, layers = int(packed[0, 0, 0]), int(packed[0, 0, 1])
        first, second = packed[:, 1 : 1 + tokens], packed[:, 1 + tokens :]
        return {"cross_attn": first, self.entry: second.unflatten(1, (layers, -1))}
