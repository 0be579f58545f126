"""The axes of a grid: which dial is turned, and through which values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...perfusion_ops import Concept
from ...perfusion_ops.training.settings import steps_done
from ..host.widgets import KEY_LOCKINGS
from .point import Point

NONE, CONCEPT, LOCKING = "none", "concept", "key_locking"
RANGES = {"bias": (-1.0, 2.0), "temperature": (0.01, 1.0), "visual_strength": (0.0, 3.0)}
"""Of each dial that is a number, what Apply Key-Locked Attention allows."""
DEFAULTS = {
    "bias": "0.3, 0.6, 0.9",
    "temperature": "0.1, 0.15, 0.25",
    "visual_strength": "0.5, 1, 1.5",
    LOCKING: "local, global gated, exact",
}
AXES = (*DEFAULTS, CONCEPT)
MOST_CELLS = 64


@dataclass(frozen=True)
class Axis:
    """One dial and its values, each with the label that the grid shows."""

    dial: str
    values: tuple[Any, ...]
    labels: tuple[str, ...]

    @classmethod
    def of(cls, dial: str, text: str, concepts: Sequence[Concept]) -> Axis:
        """``text`` holds values between commas; empty: the paper's range. Raises ValueError for a value too strange."""
        if dial == NONE:
            return cls(dial, (None,), ("",))
        if dial == CONCEPT:
            return cls(dial, tuple(concepts), tuple(named(concepts)))
        words = [*filter(None, map(str.strip, text.replace("\n", ",").split(",")))] or DEFAULTS[dial].split(", ")
        values = list(dict.fromkeys(_value(dial, word) for word in words))
        return cls(dial, tuple(values), tuple(v if isinstance(v, str) else f"{v:g}" for v in values))

    def turned(self, point: Point, index: int) -> Point:
        return point if self.dial == NONE else replace(point, **{self.dial: self.values[index]})

    def label(self, index: int) -> str:
        return "" if self.dial == NONE else f"{self.dial.replace('_', ' ')} {self.labels[index]}"


def _value(dial: str, word: str) -> Any:
    if dial == LOCKING:
        if word in KEY_LOCKINGS:
            return word
        raise ValueError(f"{word!r} is no key locking; expected some of {', '.join(KEY_LOCKINGS)}, between commas.")
    low, high = RANGES[dial]
    try:
        value = float(word)
    except ValueError:
        raise ValueError(
            f"{word!r} is no number for {dial}; write numbers with commas between, such as {DEFAULTS[dial]}."
        ) from None
    if not low <= value <= high:
        raise ValueError(
            f"{dial} {word} is outside {low:g} to {high:g}, which is what Apply Key-Locked Attention allows."
        )
    return value


def named(concepts: Sequence[Concept]) -> list[str]:
    """A label for each concept: its training steps where these tell them apart, else its word or number."""
    for labels in (
        [f"step {steps}" if (steps := steps_done(c.metadata)) else "" for c in concepts],
        [concept.word for concept in concepts],
    ):
        if all(labels) and len(set(labels)) == len(labels):
            return labels
    return [str(number) for number in range(1, len(concepts) + 1)]


def grid(columns: Axis, rows: Axis, start: Point) -> list[Point]:
    """The points of a grid, row by row. Raises ValueError for axes that make no grid."""
    if columns.dial == rows.dial:
        raise ValueError(f"columns and rows both turn {columns.dial}; choose another dial for rows, or none.")
    count = len(columns.values) * len(rows.values)
    if count > MOST_CELLS:
        raise ValueError(f"The grid has {count} cells; at most {MOST_CELLS} are drawn at once. Give fewer values.")
    return [
        rows.turned(columns.turned(start, column), row)
        for row in range(len(rows.values))
        for column in range(len(columns.values))
    ]
