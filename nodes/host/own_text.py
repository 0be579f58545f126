"""Which prompts a cross-attention layer's projections read: other packs put texts of their own through them.

Normalized attention guidance is one: it has every layer read a second negative prompt, which is nobody's concept, and
reads the prompts of a batch one by one.
"""

from __future__ import annotations

import torch
from torch import Tensor

ALL = slice(None)


class OwnText:
    """What the network itself hands to its layers in one model call."""

    def __init__(self) -> None:
        self.handed: dict[str, Tensor] = {}
        """Layer -> its context (B, T, d), for layers that were called."""
        self.read: set[str] = set()
        """Layers that projected it."""
        self.beside: set[str] = set()
        """Layers that projected another text too."""

    def hands(self, layer: str, context: Tensor) -> None:
        """The network calls ``layer`` with ``context``."""
        self.handed[layer] = context

    def rows(self, layer: str, projected: Tensor) -> slice | None:
        """The rows of the batch that a projection of ``layer`` reads; none for another text."""
        context = self.handed.get(layer)
        found = ALL if context is None else _rows_of(projected, context)
        (self.beside if found is None else self.read).add(layer)
        return found

    def check_read(self) -> None:
        """Raise ValueError if a layer read other texts alone."""
        lost = sorted(self.beside - self.read)
        if lost:
            raise ValueError(
                f"The layer {lost[0]} reads another prompt than the model gave it, so a concept would have no effect "
                "there. Another node changes the prompt inside the model: connect it without Apply Key-Locked "
                "Attention."
            )


def check_one_reading(layer: str, queries: int, texts: int, carried: bool) -> None:
    """Raise ValueError unless ``layer`` projected its queries and a text once: else its output is no sum of shares.

    A network that was called with its edit, ``carried``, may do anything with its texts.
    """
    if carried or (queries, texts) != (1, 1):
        raise ValueError(
            f"The layer {layer} also reads a prompt of another node, or its prompts one by one, as normalized "
            "attention guidance does, and a concept with a region cannot be drawn beside it. Take the region away, or "
            "connect the model without that node."
        )


def _rows_of(projected: Tensor, context: Tensor) -> slice | None:
    """Where ``projected`` lies in ``context``: in its memory, or equal to all of it."""
    if projected.untyped_storage().data_ptr() == context.untyped_storage().data_ptr():
        if projected.numel() == context.numel() or not context.stride(0):
            return ALL
        start = (projected.storage_offset() - context.storage_offset()) // context.stride(0)
        return slice(start, start + len(projected))
    same = projected.shape == context.shape and bool(torch.eq(projected, context).all())
    return ALL if same else None
