"""What other patches make of a U-Net's edited prompts before a layer projects them.

They cut them, as nodes with negative weights do that keep keys and values in turn; they join them with prompts of their
own, as attention couples do; or they have a layer project such a prompt alone. The gates go with the values as marks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ...perfusion_ops.edit.marks import read_marks, with_marks
from .encoded_prompt import EncodedPrompt, plain

GATES = "gates "
"""What goes beside the values, in front of a concept's number."""
Edited = Callable[[EncodedPrompt], Mapping[str, Tensor] | None]
"""A prompt of another node -> its edited context by part; none where it holds no concept."""


def with_gates(values: Tensor, gates: Tensor) -> EncodedPrompt:
    """The values' context (B, T, d) with its ``gates`` (B, T, J), whatever is done to it."""
    beside = {f"{GATES}{j}": with_marks(values, gate) for j, gate in enumerate(gates.unbind(-1))}
    return EncodedPrompt.beside_others(values, (), None, beside)


def gates_of(context: Tensor, count: int) -> Tensor | None:
    """The gates (B', T', J) of what became of the values' context; none for a text that holds nothing of it."""
    if not isinstance(context, EncodedPrompt):
        return None
    copies = [context.beside.get(f"{GATES}{j}") for j in range(count)]
    if any(copy is None for copy in copies):
        return None
    return torch.stack([read_marks(plain(context), copy) for copy in copies], -1)


class ReadText:
    """What a projection of a U-Net's layer reads.

    Args:
        part: ``keys`` or ``values``.
        context: what it was handed (B', T', d).
        own: the gates (B, T, J) of the model's own prompts.
        edited: edits prompts of other nodes.
    """

    def __init__(self, part: str, context: Tensor, own: Tensor, edited: Edited) -> None:
        found = gates_of(context, own.shape[-1])
        other = edited(context) if isinstance(context, EncodedPrompt) and context.namings else None
        self.context = plain(context) if other is None else other[part].to(plain(context))
        """What the projection is to read (B', T', d)."""
        self.gates: Tensor | None = None
        """The gates (B', T', J) of its tokens; none where the model's own hold, or where it is another text alone."""
        same = other is None and context.shape[:2] == own.shape[:2]
        parts = [] if same else [gates for gates in (found, other and other["gates"]) if gates is not None]
        if parts:
            self.gates = sum(gates.to(own) for gates in parts)
        self.foreign = not same and not parts
        """Whether it is a text of another node alone, without a concept of this model."""
