"""Identity against agreement as a picture: every point of a grid, its front, and the suggestion."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw
from torch import Tensor

from ...perfusion_ops.judging.choice import front
from .sheet import FAINT, INK, MARK, PAPER, as_tensor, fitting, length, text_sizes, write

SIDE, MARGIN = 768, 96
FRONT = "#1d4ed8"


def front_view(
    points: Sequence[tuple[float, float]], labels: Sequence[str], best: int | None, empty: str = ""
) -> Tensor:
    """(1, SIDE, SIDE, 3). Points (identity, agreement) carry the numbers of their cells, from 1.

    ``empty`` is said where there are no points.
    """
    image = Image.new("RGB", (SIDE, SIDE), PAPER)
    pen, (size, small) = ImageDraw.Draw(image), text_sizes(280)
    spans = [_span([point[axis] for point in points]) for axis in (0, 1)]
    _axes(pen, spans, size, small)

    def place(point: tuple[float, float]) -> tuple[float, float]:
        x, y = ((value - low) / (high - low) for value, (low, high) in zip(point, spans, strict=True))
        return MARGIN + x * (SIDE - 1.5 * MARGIN), SIDE - MARGIN - y * (SIDE - 2 * MARGIN)

    steps = [place(points[index]) for index in front(points)]
    if len(steps) > 1:
        pen.line(steps, fill=FRONT, width=3)
    for index, point in enumerate(points):
        if any(map(math.isnan, point)):
            continue
        x, y = place(point)
        colour, radius = (MARK, 9) if index == best else (INK, 6)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
        write(pen, (x + 10, y - 22), str(index + 1), colour, size)
    said = empty or "no suggestion: the scores could not be measured"
    said = said if best is None else f"suggested, {best + 1}: {labels[best]}"
    write(pen, (24, 24), fitting(said, size, SIDE - 48), MARK, size)
    return as_tensor(image)


def _span(values: Sequence[float]) -> tuple[float, float]:
    """From 0 or the least to 1 or the largest; a twentieth more on both sides."""
    known = [value for value in values if not math.isnan(value)] or [0.0, 1.0]
    low, high = min(known), max(known)
    room = max(0.05, 0.1 * (high - low))
    return low - room, high + room


def _axes(pen: ImageDraw.ImageDraw, spans, size: int, small: int) -> None:
    left, right, top, bottom = MARGIN, SIDE - MARGIN / 2, MARGIN, SIDE - MARGIN
    pen.line([(left, top), (left, bottom), (right, bottom)], fill=FAINT, width=2)
    write(pen, (left, top - 30), "agreement with the prompt", FAINT, size)
    text = "identity with the pictures"
    write(pen, (right - length(text, size), bottom + 44), text, FAINT, size)
    for part in (0.0, 0.5, 1.0):
        x, y = left + part * (SIDE - 1.5 * MARGIN), bottom - part * (SIDE - 2 * MARGIN)
        across, up = (f"{low + part * (high - low):.2f}" for low, high in spans)
        write(pen, (x - length(across, small) / 2, bottom + 10), across, FAINT, small)
        write(pen, (left - 12 - length(up, small), y - 10), up, FAINT, small)
