"""A picture with smooth shapes and sharp text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import dist

from PIL import Image, ImageDraw

from .fonts import font_for

FINE = 3
"""Shapes are drawn this many times larger, since PIL's own lines have steps."""
Point = tuple[float, float]


class Canvas:
    """Shapes below, text above; ``finish`` gives the picture."""

    def __init__(self, width: int, height: int, background: str) -> None:
        self.size = (width, height)
        self.shapes = Image.new("RGB", (width * FINE, height * FINE), background)
        self.draw = ImageDraw.Draw(self.shapes)
        self.texts: list[tuple] = []

    def box(self, left: float, top: float, width: float, height: float, fill: str, radius: float = 0) -> None:
        edges = [FINE * edge for edge in (left, top, left + width, top + height)]
        # PIL's boxes hold their last column and row.
        edges[2:] = [edges[2] - 1, edges[3] - 1]
        self.draw.rounded_rectangle(edges, radius * FINE, fill)

    def line(self, points: Sequence[Point], fill: str, width: float) -> None:
        self.draw.line([(x * FINE, y * FINE) for x, y in points], fill, round(width * FINE), joint="curve")

    def dashes(self, points: Sequence[Point], fill: str, width: float, dash: float = 7) -> None:
        """A broken line: as much gap as line, measured along it."""
        walked = 0.0
        for start, end in pairwise(points):
            length = dist(start, end)
            cuts = [0.0, *_multiples(walked, walked + length, dash), length]
            for near, far in pairwise(cuts):
                if int((walked + (near + far) / 2) / dash) % 2 == 0 and far > near:
                    self.line([_between(start, end, near / length), _between(start, end, far / length)], fill, width)
            walked += length

    def dot(self, x: float, y: float, radius: float, fill: str, edge: str) -> None:
        box = [FINE * value for value in (x - radius, y - radius, x + radius, y + radius)]
        self.draw.ellipse(box, fill, edge, round(1.5 * FINE))

    def text(self, x: float, y: float, text: str, size: int, fill: str, anchor: str = "lm") -> None:
        """``anchor`` as PIL has it: ``lm`` is left and in the middle of the line's height."""
        self.texts.append((x, y, text, size, fill, anchor))

    def finish(self) -> Image.Image:
        picture = self.shapes.resize(self.size, Image.Resampling.LANCZOS)
        draw = ImageDraw.Draw(picture)
        for x, y, text, size, fill, anchor in self.texts:
            font = font_for(text, size)
            if font is None:
                raise ValueError(f"No font can draw {text!r}; ask fonts.legible for what to write instead.")
            draw.text((x, y), text, fill, font, anchor)
        return picture


def mixed(low: str, high: str, share: float) -> str:
    """The colour ``share`` of the way from ``low`` to ``high``, both ``#rrggbb``."""
    pairs = zip(_parts(low), _parts(high), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * min(1.0, max(0.0, share))):02x}" for a, b in pairs)


def _parts(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def _between(start: Point, end: Point, share: float) -> Point:
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def _multiples(low: float, high: float, step: float) -> list[float]:
    """The multiples of ``step`` between two numbers, less the lower one."""
    return [n * step - low for n in range(int(low / step) + 1, int(high / step) + 1)]
