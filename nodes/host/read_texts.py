"""What other patches make of a U-Net's edited prompts before a layer projects them.

They cut them, as nodes with negative weights do that keep keys and values in turn; they join them with prompts of their
own, as attention couples do; or they have a layer project such a prompt alone. The gates go with the values as marks.
Networks of other packs do the same before any layer, so their edits go with the prompts that they are called with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ...perfusion_ops.edit.marks import read_marks, with_marks
from .encoded_prompt import EncodedPrompt, beside_of, plain

GATES, EDITED, OWN = "gates ", "edited ", "own"
"""What goes beside a text: in front of a concept's number, in front of ``keys`` and ``values``, and a copy with marks
at the tokens of the model's own prompts."""
Edited = Callable[[EncodedPrompt], Mapping[str, Tensor] | None]
"""A prompt of another node -> its edited context by part; none where it holds no concept."""


def as_own(context: Tensor, beside: Mapping[str, Tensor] | None = None) -> EncodedPrompt:
    """A context (B, T, d) of the model's own prompts, which is known as such whatever is done to it."""
    own = with_marks(context, torch.ones(context.shape[:2]))
    return EncodedPrompt.beside_others(context, (), None, {OWN: own, **(beside or {})})


def with_gates(values: Tensor, gates: Tensor, beside: Mapping[str, Tensor] | None = None) -> EncodedPrompt:
    """The same for the values' context, with its ``gates`` (B, T, J)."""
    copies = {f"{GATES}{j}": with_marks(values, gate) for j, gate in enumerate(gates.unbind(-1))}
    return as_own(values, {**copies, **(beside or {})})


def carrying(context: Tensor, parts: Mapping[str, Tensor]) -> EncodedPrompt:
    """The same for the context that a network is called with, with its edit in ``parts``."""
    return with_gates(context, parts["gates"], {f"{EDITED}{part}": parts[part] for part in ("keys", "values")})


def gates_of(context: Tensor, count: int) -> Tensor | None:
    """The gates (B', T', J) of what became of the values' context; none for a text that holds nothing of it."""
    if not isinstance(context, EncodedPrompt):
        return None
    copies = [context.beside.get(f"{GATES}{j}") for j in range(count)]
    if any(copy is None for copy in copies):
        return None
    return torch.stack([read_marks(plain(context), copy) for copy in copies], -1)


def _own(context: EncodedPrompt) -> Tensor:
    """bool (B', T', 1): the tokens of the model's own prompts, where others are of a prompt of another node."""
    return (read_marks(plain(context), beside_of(context, OWN)) > 0.5).unsqueeze(-1)


class ReadText:
    """What a projection of a U-Net's layer reads.

    Args:
        part: ``keys`` or ``values``.
        context: what it was handed (B', T', d).
        own: the gates (B, T, J) of the model's own prompts.
        edited: edits prompts of other nodes.
        carried: whether all texts come from a network that was called with what ``carrying`` made.
    """

    def __init__(self, part: str, context: Tensor, own: Tensor, edited: Edited, carried: bool = False) -> None:
        found = gates_of(context, own.shape[-1])
        other = edited(context) if isinstance(context, EncodedPrompt) and context.namings else None
        text = beside_of(context, f"{EDITED}{part}")
        self.context = text if other is None else torch.where(_own(context), text, other[part].to(text))
        """What the projection is to read (B', T', d)."""
        self.gates: Tensor | None = None
        """The gates (B', T', J) of its tokens; none where the model's own hold, or where it is another text alone."""
        same = not carried and other is None and context.shape[:2] == own.shape[:2]
        parts = [] if same else [gates for gates in (found, other and other["gates"]) if gates is not None]
        if parts:
            self.gates = parts[0] if len(parts) == 1 else torch.where(_own(context), *parts)
            self.gates = self.gates.to(own)
        self.foreign = not same and not parts
        """Whether it is a text of another node alone, without a concept of this model."""
