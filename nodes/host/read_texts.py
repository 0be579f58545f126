"""What other patches make of a U-Net's edited prompts before a layer projects them.

They cut them, as nodes with negative weights do that keep keys and values in turn; they join them with prompts of their
own, as attention couples do; or they have a layer project such a prompt alone. The gates go with the edited contexts as
marks. Networks of other packs do the same before any layer, so their edits go with the prompts that they are called
with.
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


def with_gates(context: Tensor, gates: Tensor, beside: Mapping[str, Tensor] | None = None) -> EncodedPrompt:
    """A context (B, T, d) of the model's own prompts with its ``gates`` (B, T, J), known as such through everything."""
    copies = {f"{GATES}{j}": with_marks(context, gate) for j, gate in enumerate(gates.unbind(-1))}
    own = with_marks(context, torch.ones(context.shape[:2]))
    return EncodedPrompt.beside_others(context, (), None, {OWN: own, **copies, **(beside or {})})


def carrying(context: Tensor, parts: Mapping[str, Tensor]) -> EncodedPrompt:
    """The same for the context that a network is called with, with its edit in ``parts``."""
    return with_gates(context, parts["gates"], {f"{EDITED}{part}": parts[part] for part in ("keys", "values")})


def gates_of(context: Tensor, count: int) -> Tensor | None:
    """The gates (B', T', J) of what became of such a context; none for a text that holds nothing of it."""
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
        marked: whether what comes of the model's own prompts has marks, so that another text of their shape has none.
    """

    def __init__(self, part: str, context: Tensor, own: Tensor, edited: Edited, carried: bool, marked: bool) -> None:
        found = gates_of(context, own.shape[-1])
        other = edited(context) if isinstance(context, EncodedPrompt) and context.namings else None
        text = beside_of(context, f"{EDITED}{part}")
        self.context = text if other is None else torch.where(_own(context), text, other[part].to(text))
        """What the projection is to read (B', T', d)."""
        self.gates: Tensor | None = None
        """The gates (B', T', J) of its tokens; none where the model's own hold, or where it is another text alone."""
        alike = not carried and other is None and context.shape[:2] == own.shape[:2]
        same = alike and (found is not None or not marked)
        parts = [] if same else [gates for gates in (found, other and other["gates"]) if gates is not None]
        if parts:
            self.gates = parts[0] if len(parts) == 1 else torch.where(_own(context), *parts)
            self.gates = self.gates.to(own)
        elif same and marked:
            # Rows of another node may stand among them; scaled rows, whose marks are too, keep the gates they had.
            self.gates = torch.where(read_marks(self.context, context.beside[OWN]).unsqueeze(-1) != 0, own, 0)
        self.foreign = not same and not parts
        """Whether it is a text of another node alone, without a concept of this model."""
