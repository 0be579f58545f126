"""Pictures as a labelled sheet, which reads without the workflow that made it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ..drawing.fonts import font_for, readable, wrapped

PAPER, INK, FAINT, MARK = "white", "#1b1b1b", "#6b6b6b", "#c2410c"
LARGEST_SIDE = 8192
"""Pixels; larger pictures are not shown well by browsers."""
SMALLEST_CELL = 128
"""Pixels: in a narrower cell no caption can be read."""


@dataclass(frozen=True)
class Cell:
    """One picture (H, W, 3), 0 to 1, and what stands below it."""

    picture: Tensor
    caption: str = ""
    marked: bool = False


@dataclass(frozen=True)
class Row:
    label: str
    cells: Sequence[Cell]


def sheet(title: str, columns: Sequence[str], rows: Sequence[Row]) -> Tensor:
    """(1, H, W, 3): a title, a label on each column and row, a caption below each cell, a frame around marked ones."""
    scale = _scale(rows)
    sizes = [[_scaled(cell.picture, scale) for cell in row.cells] for row in rows]
    cell = max(width for row in sizes for width, _ in row)
    size, small = text_sizes(cell)
    line, gap = round(1.4 * size), max(6, cell // 40)
    labels = [readable(row.label, size) for row in rows]
    left = max((int(length(label, size)) for label in labels), default=0) + 2 * gap
    count = max(len(row.cells) for row in rows)
    heights = [max(height for _, height in row) + round(1.5 * small) + gap for row in sizes]
    room = left + count * (cell + gap) - gap
    titles = [fitting(line, size, room) for line in wrapped(title, size, room)]
    top = line * len(titles) + gap + (line if any(columns) else 0)
    image = Image.new("RGB", (left + count * (cell + gap), top + sum(heights) + gap), PAPER)
    pen = ImageDraw.Draw(image)
    for number, text in enumerate(titles):
        write(pen, (gap, gap // 2 + number * line), text, INK, size)
    for number, text in enumerate(columns):
        write(pen, (left + number * (cell + gap), top - line), fitting(text, size, cell), INK, size)
    for row, heights_above in zip(range(len(rows)), np.cumsum([0, *heights]).tolist(), strict=False):
        y = top + heights_above
        write(pen, (gap, y + gap), labels[row], INK, size)
        for number, (each, sides) in enumerate(zip(rows[row].cells, sizes[row], strict=True)):
            _put(image, pen, each, sides, (left + number * (cell + gap), y), (gap, small))
    return as_tensor(image)


def _put(image: Image.Image, pen: ImageDraw.ImageDraw, cell: Cell, sides, corner, style) -> None:
    (x, y), (width, height), (gap, size) = corner, sides, style
    pixels = (255 * cell.picture.clamp(0, 1)).round().to(torch.uint8).numpy()
    resampling = Image.Resampling.NEAREST if width >= pixels.shape[1] else Image.Resampling.LANCZOS
    image.paste(Image.fromarray(pixels).resize(sides, resampling), (x, y))
    if cell.marked:
        edge = max(3, gap // 2)
        pen.rectangle((x - edge, y - edge, x + width - 1 + edge, y + height - 1 + edge), outline=MARK, width=edge)
    below, colour = (x, y + height + gap // 2), MARK if cell.marked else FAINT
    write(pen, below, fitting(cell.caption, size, width), colour, size)


def _scale(rows: Sequence[Row]) -> float:
    """Cells of at least SMALLEST_CELL, whole multiples where they are enlarged; a sheet of at most LARGEST_SIDE."""
    widest = max(cell.picture.shape[1] for row in rows for cell in row.cells)
    larger = -(-SMALLEST_CELL // widest)
    width = sum(widest for _ in max((row.cells for row in rows), key=len)) * larger
    height = sum(max(cell.picture.shape[0] for cell in row.cells) for row in rows) * larger
    return larger * min(1.0, 0.8 * LARGEST_SIDE / max(width, height))


def _scaled(picture: Tensor, scale: float) -> tuple[int, int]:
    height, width = picture.shape[:2]
    return max(1, round(width * scale)), max(1, round(height * scale))


def text_sizes(cell: int) -> tuple[int, int]:
    """Of labels and of captions, for cells that are so many pixels wide."""
    return max(13, cell // 14), max(12, cell // 18)


def write(pen: ImageDraw.ImageDraw, corner: tuple[float, float], text: str, colour: str, size: int) -> None:
    """``text`` must be ``readable``."""
    pen.text(corner, text, colour, font_for(text, size))


def length(text: str, size: int) -> float:
    """Pixels from left to right; ``text`` must be ``readable``."""
    return font_for(text, size).getlength(text)


def fitting(text: str, size: int, width: int) -> str:
    """``text``, readable, shortened to ``width`` pixels."""
    text = readable(text, size)
    if length(text, size) <= width:
        return text
    while text and length(text + "…", size) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def as_tensor(image: Image.Image) -> Tensor:
    """(1, H, W, 3), 0 to 1."""
    return torch.from_numpy(np.asarray(image, dtype=np.float32) / 255).unsqueeze(0)
