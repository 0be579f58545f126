"""Value residuals in the transformer's joint attention, at the superclass's own tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from perfusion_ops.edit.equations import value_delta
from perfusion_ops.edit.injection import Observer
from perfusion_ops.edit.joint_attention import attend_by_position, text_values
from pixelworld.joint.transformer import TEXT_PLACES
from pixelworld.text_encoder import VOCABULARY, TextEncoder

from .ways import Way


def marks_of(encoder: TextEncoder, texts: Sequence[str], class_word: str, length: int, way: Way) -> Tensor:
    """(B, length): 1 at the tokens of the superclass, or at the last of them. Raises ValueError where it is missing."""
    wanted = [token for word in class_word.split() for token in VOCABULARY[word]]
    marks = torch.zeros(len(texts), length)
    for row, text in zip(marks, texts, strict=True):
        tokens = encoder.tokens(text)
        start = next((n for n in range(length) if tokens[n : n + len(wanted)] == wanted), None)
        if start is None:
            raise ValueError(f"{text!r} does not name {class_word!r}.")
        row[start + (len(wanted) - 1 if way.last_token else 0) : start + len(wanted)] = 1
    return marks


@dataclass(frozen=True)
class ValueEdit:
    """What the host's attention override adds to the values of one batch."""

    gates: Tensor  # (B, tokens, J), at the superclass's tokens
    residuals: Mapping[int, Tensor]  # layer -> (J, width)
    isolated: bool = True
    observer: Observer | None = None

    @staticmethod
    def of(
        gates: Tensor, sigmas: Tensor, residuals: Mapping[int, Tensor], way: Way, observer: Observer | None = None
    ) -> ValueEdit:
        """Gates (B, tokens, J); residuals (J, width), or (2 J, width) for two terms, the second times sigma (B,)."""
        if way.terms == 2:
            gates = torch.cat([gates, gates * sigmas.view(-1, 1, 1)], -1)
        return ValueEdit(F.pad(gates, (0, 0, 0, TEXT_PLACES - gates.shape[1])), residuals, way.isolated, observer)

    def options(self) -> dict:
        """The host's options for one call."""
        return {"optimized_attention_override": self}

    def __call__(self, attention, queries: Tensor, keys: Tensor, values: Tensor, heads: int, *args, **how) -> Tensor:
        """Rows that name nothing keep their bits: all rows are computed without an edit first."""
        plain = attention(queries, keys, values, heads, *args, **how)
        layer = how["transformer_options"].get("block_index")
        residuals = self.residuals.get(layer)
        named = self.gates.flatten(1).any(1).nonzero()[:, 0]
        if residuals is None or not len(named):
            return plain
        queries, keys, values, gates = (tensor[named] for tensor in (queries, keys, values, self.gates))
        if self.observer is not None:
            text = text_values(values, TEXT_PLACES, values.shape[2] - TEXT_PLACES, heads_first=True)
            self.observer(f"value_residuals/{layer}", text, gates)

        def attend(some: Tensor, changed: Tensor) -> Tensor:
            return attention(some, keys, changed, heads, *args, **how)

        if self.isolated:
            others, picture = queries.tensor_split((TEXT_PLACES,), 2)
            parts = partial(attend, picture), partial(attend, others)
            edited = attend_by_position(*parts, values, gates, residuals, picture.shape[2], {}, heads_first=True)
        else:
            delta = value_delta(gates, residuals).unflatten(-1, (heads, -1)).transpose(1, 2)
            edited = attend(queries, values + F.pad(delta, (0, 0, 0, values.shape[2] - TEXT_PLACES)))
        return plain.index_copy(0, named, edited)
