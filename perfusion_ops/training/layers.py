"""Which layers of a model a training edits."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import TypeVar

Item = TypeVar("Item")


class EditedLayers(str, Enum):
    """The layers that get a value residual, counted in the order of the network (ours)."""

    ALL = "all"
    LATER_HALF = "later_half"
    """For half the file; all layers carry more of a subject's look (benchmarks/RESULTS.md, "Joint world")."""

    def among(self, layers: Iterable[Item]) -> tuple[Item, ...]:
        """Those of all ``layers`` of a model that are edited; of an odd number, the middle one is too."""
        layers = tuple(layers)
        return layers if self is EditedLayers.ALL else layers[len(layers) // 2 :]
