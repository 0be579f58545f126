"""Scores as a markdown table that a person can post."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


def number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows of one shape."""
    header = list(rows[0])
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row[name].replace("|", "/") for name in header) + " |" for row in rows])
