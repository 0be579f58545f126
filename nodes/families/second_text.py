"""A second text beside the encodings: where layers read it, and both as one tensor for a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class SecondText:
    """A text that a conditioning holds under a name of its own (B, T', d), or of its encoder's layers (B, L, T', d)."""

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
        second = (second[:, -1] if second.ndim == 4 else second).to(first.device)
        second = second.expand(len(first), -1, -1)
        texts = [first, *[second] * (self.times if times is None else times)]
        width = max(text.shape[-1] for text in texts)
        return torch.cat([nn.functional.pad(text, (0, width - text.shape[-1])) for text in texts], dim=1)

    def lengths(self, first: Tensor, entries: Mapping[str, Any]) -> tuple[int, int]:
        """Tokens of either text. What is ``packed`` of prompts that have the same may stand in one batch."""
        return first.shape[1], entries[self.entry].shape[-2]

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


@dataclass(frozen=True)
class PaddedTexts(SecondText):
    """A second text (B, T', d') in whose network padding is replaced by learned rows, as in the first text's (B, T, d).
    """

    masks: tuple[str, str]
    """The conditioning's entries that are 1 at the tokens of either text that are no padding, (B, T) and (B, T')."""

    def packed(self, first: Tensor, entries: Mapping[str, Any]) -> Tensor:
        """Both texts and their masks in one tensor (B, 1 + T + T', max(d, d') + 1), whose first row is T, d and d'."""
        texts = self.in_sequence(first, entries, 1)
        words = torch.cat([entries[name].to(texts) for name in self.masks], 1).unsqueeze(-1)
        sizes = (*first.shape[1:], entries[self.entry].shape[-1])
        row = texts.new_zeros(len(texts), 1, texts.shape[-1] + 1)
        row[..., : len(sizes)] = texts.new_tensor(sizes)
        return torch.cat((row, torch.cat((texts, words), -1)), dim=1)

    def unpacked(self, packed: Tensor) -> dict[str, Tensor]:
        """The same as the conditioning has them."""
        tokens, *widths = packed[0, 0, :3].int().tolist()
        texts, words = packed[:, 1:, :-1].split((tokens, packed.shape[1] - 1 - tokens), 1), packed[:, 1:, -1]
        first, second = (text[..., :width].clone() for text, width in zip(texts, widths, strict=True))
        masks = dict(zip(self.masks, (words[:, :tokens], words[:, tokens:]), strict=True))
        return {"cross_attn": first, self.entry: second, **masks}
