"""Sheets: pictures in rows and columns with words on them, for a reader who was not there."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from perfusion_ops.files.atomic import write_atomically

MARGIN, GAP, LINE_SPACING = 24, 10, 1.25
LABEL_WIDTH = 190
PAPER, INK, FAINT, FRAME = (255, 255, 255), (20, 20, 24), (96, 96, 104), (205, 205, 212)


@dataclass(frozen=True)
class Row:
    """Pictures of one kind, side by side."""

    label: str
    """Its first line stands in bold."""
    pictures: Sequence[np.ndarray | None]
    """Each (h, w, 3) in [0, 1]; None leaves the place empty."""
    notes: Sequence[str] = ()
    """A few words under each picture."""


def draw_sheet(
    title: str, explanation: str, columns: Sequence[str], rows: Sequence[Row], side: int = 112
) -> Image.Image:
    """A sheet with a title, what to look at, a label over each column and beside each row.

    Pictures are enlarged to ``side`` pixels by the nearest whole factor, so that a pixel of theirs stays a square.
    """
    count = max([len(columns), *(len(row.pictures) for row in rows)])
    width = 2 * MARGIN + LABEL_WIDTH + count * (side + GAP)
    heads = [wrapped(label, font(13), side) for label in columns]
    blocks = [
        (MARGIN, wrapped(title, font(22, bold=True), width - 2 * MARGIN), font(22, bold=True), INK),
        (MARGIN, wrapped(explanation, font(14), width - 2 * MARGIN), font(14), FAINT),
    ]
    sheet = Image.new("RGB", (width, sheet_height(blocks, heads, rows, side)), PAPER)
    draw, top = ImageDraw.Draw(sheet), MARGIN
    for left, lines, face, colour in blocks:
        top = write(draw, left, top, lines, face, colour) + 8
    top += 6 + text_height(max(heads, key=len, default=[]), font(13))
    for index, lines in enumerate(heads):
        left = column_left(index, side)
        write(draw, left, top - text_height(lines, font(13)), lines, font(13), INK)
    top += 4
    for row in rows:
        draw_row(sheet, draw, row, top, side)
        top += row_height(row, side)
    return sheet


def column_left(index: int, side: int) -> int:
    return MARGIN + LABEL_WIDTH + index * (side + GAP)


def row_height(row: Row, side: int) -> int:
    notes = max((text_height(wrapped(note, font(11), side), font(11)) for note in row.notes), default=0)
    return side + notes + GAP


def sheet_height(blocks, heads: Sequence[list[str]], rows: Sequence[Row], side: int) -> int:
    words = sum(text_height(lines, face) + 8 for _, lines, face, _ in blocks)
    labels = 10 + text_height(max(heads, key=len, default=[]), font(13))
    return 2 * MARGIN + words + labels + sum(row_height(row, side) for row in rows) - GAP


def draw_row(sheet: Image.Image, draw: ImageDraw.ImageDraw, row: Row, top: int, side: int) -> None:
    first, *rest = row.label.split("\n")
    below = write(draw, MARGIN, top, wrapped(first, font(14, bold=True), LABEL_WIDTH - GAP), font(14, bold=True), INK)
    for line in rest:
        below = write(draw, MARGIN, below, wrapped(line, font(12), LABEL_WIDTH - GAP), font(12), FAINT)
    for index, picture in enumerate(row.pictures):
        left = column_left(index, side)
        if picture is not None:
            tile = enlarged(picture, side)
            sheet.paste(tile, (left, top))
            draw.rectangle((left - 1, top - 1, left + tile.width, top + tile.height), outline=FRAME)
        if index < len(row.notes):
            write(draw, left, top + side + 2, wrapped(row.notes[index], font(11), side), font(11), FAINT)


def enlarged(picture: np.ndarray, side: int) -> Image.Image:
    """A picture (h, w, 3) in [0, 1], each of its pixels a square, at most ``side`` wide."""
    factor = max(1, side // picture.shape[1])
    levels = np.round(255 * np.clip(picture, 0, 1)).astype(np.uint8)
    return Image.fromarray(levels.repeat(factor, axis=0).repeat(factor, axis=1))


@cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib and knows Greek."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)), size)


def wrapped(text: str, face: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """``text`` in lines of at most ``width`` pixels; a word wider than that stands on a line of its own."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and face.getlength(longer) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines if text else []


def text_height(lines: Sequence[str], face: ImageFont.FreeTypeFont) -> int:
    return round(len(lines) * face.size * LINE_SPACING)


def write(draw: ImageDraw.ImageDraw, left: int, top: int, lines: Sequence[str], face, colour) -> int:
    """Write lines downwards from ``top``; returns where the next may begin."""
    for index, line in enumerate(lines):
        draw.text((left, top + round(index * face.size * LINE_SPACING)), line, font=face, fill=colour)
    return top + text_height(lines, face)


def save_sheet(sheet: Image.Image, path: Path) -> None:
    """Write ``sheet`` as a PNG, whole or not at all."""
    data = io.BytesIO()
    sheet.save(data, "PNG", optimize=True)
    write_atomically(path, data.getvalue())
