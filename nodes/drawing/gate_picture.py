"""A gate table as a picture: the prompt's tokens in reading order, a coloured cell for each concept, then curves."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import torch
from torch import Tensor

from ...perfusion_ops.edit.gate_report import runs
from ...perfusion_ops.edit.gate_table import ConceptGates, GateTable
from ...perfusion_ops.text.covariance import TokenKind
from .canvas import Canvas, mixed
from .fonts import legible, shortened, width_of, wrapped
from .gate_curves import curves_height, draw_curves
from .look import COLOURS, EDGE, GREY, INK, PAPER, WHITE

WIDTH, WIDE, LONG = 1000, 1500, 60
"""Pixels from left to right; wider from so many columns on, so that long prompts do not become towers."""
MARGIN, GAP = 32, 5
CELL, LABEL, BAND_GAP = 42, 30, 18
TOKEN_SIZE, NUMBER_SIZE, NAME_SIZE = 20, 18, 20
LONGEST_NAME, LONGEST_TOKEN = 170, 200
LINE, HEAD, SHADES = 26, 76, 80
NUMBERED = "A token with # and a number has letters that no font here can draw, or is a part of one: see the report."


@dataclass(frozen=True)
class _Page:
    """Pixels from left to right: of all, and of the concepts' names."""

    width: int
    names: int


@dataclass(frozen=True)
class _Column:
    """A token, or a run of padding, and the width that its label needs."""

    places: list[int]
    label: str
    width: int


def gate_picture(table: GateTable) -> Tensor:
    """The picture of a gate table as an IMAGE (1, H, W, 3)."""
    columns = _columns(table)
    page = _Page(WIDE if len(columns) > LONG else WIDTH, max(map(width_of, _names(table), repeat(NAME_SIZE))) + 20)
    bands, lines = _bands(table, columns, page), _lines(table, columns, page)
    shown = [(concept, _colour(n)) for n, concept in enumerate(table.concepts) if concept.similarities is not None]
    height = 2 * MARGIN + HEAD + len(bands) * _band_height(table) + LINE * len(lines)
    canvas = Canvas(page.width, height + (curves_height(len(shown)) if shown else 0), PAPER)
    _head(canvas)
    top = MARGIN + HEAD
    for band in bands:
        _draw_band(canvas, table, band, top, page)
        top += _band_height(table)
    for line, colour in lines:
        canvas.text(MARGIN, top + LINE / 2 - 4, line, NUMBER_SIZE, colour)
        top += LINE
    if shown:
        draw_curves(canvas, table, shown, top + 8, MARGIN)
    return torch.from_numpy(np.asarray(canvas.finish(), np.float32) / 255).unsqueeze(0)


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _band_height(table: GateTable) -> int:
    return LABEL + (CELL + GAP) * len(table.concepts) + BAND_GAP


def _names(table: GateTable) -> list[str]:
    names = [legible(concept.word, f"concept {n}", NAME_SIZE) for n, concept in enumerate(table.concepts, 1)]
    return [shortened(name, NAME_SIZE, LONGEST_NAME) for name in names]


def _head(canvas: Canvas) -> None:
    canvas.text(MARGIN, MARGIN + 12, "Which words each concept takes over", 27, INK)
    y, left = MARGIN + 50, MARGIN
    for text, gap in (("Number: similarity.", 26), ("Colour: gate, from 0", 10)):
        canvas.text(left, y, text, NUMBER_SIZE, GREY)
        left += width_of(text, NUMBER_SIZE) + gap
    for step in range(SHADES):
        canvas.box(left + 2 * step, y - 9, 2, 18, mixed(WHITE, COLOURS[0], step / (SHADES - 1)))
    canvas.text(left + 2 * SHADES + 10, y, "to 1. Kept: never edited.", NUMBER_SIZE, GREY)


def _columns(table: GateTable) -> list[_Column]:
    columns = []
    for places in runs(table):
        label = _label(table, places)
        columns.append(_Column(places, label, max(62, width_of(label, TOKEN_SIZE) + 18)))
    return columns


def _label(table: GateTable, places: list[int]) -> str:
    token = table.tokens[places[0]]
    label = shortened(legible(token.label, f"#{places[0]}", TOKEN_SIZE), TOKEN_SIZE, LONGEST_TOKEN)
    if len(places) > 1:
        return f"{label} x {len(places)}"
    return label if token.weight == 1 else f"{label} ({token.weight:g})"


def _bands(table: GateTable, columns: list[_Column], page: _Page) -> list[list[_Column]]:
    """The columns, broken into bands as wide as the picture; each chunk of the text encoder begins a new one."""
    bands: list[list[_Column]] = []
    room, chunk = 0, -1
    for column in columns:
        first = table.tokens[column.places[0]].chunk
        if first != chunk or column.width > room:
            bands.append([])
            room, chunk = page.width - 2 * MARGIN - page.names, first
        bands[-1].append(column)
        room -= column.width + GAP
    return bands


def _lines(table: GateTable, columns: list[_Column], page: _Page) -> list[tuple[str, str]]:
    """Lines below the cells and their colours: why a concept has no effect, and what the picture cannot write."""
    width = page.width - 2 * MARGIN
    lines = []
    for n, (name, concept) in enumerate(zip(_names(table), table.concepts, strict=True)):
        if concept.problem:
            lines += [(line, _colour(n)) for line in wrapped(f"{name}: {concept.problem}", NUMBER_SIZE, width)]
    if any(re.match(r"#\d", column.label) for column in columns):
        lines += [(line, GREY) for line in wrapped(NUMBERED, NUMBER_SIZE, width)]
    return lines


def _draw_band(canvas: Canvas, table: GateTable, band: list[_Column], top: int, page: _Page) -> None:
    left = MARGIN + page.names
    for column in band:
        token = table.tokens[column.places[0]]
        colour = INK if token.kind is TokenKind.WORD else GREY
        for n, concept in enumerate(table.concepts):
            colour = _colour(n) if token.word == concept.word else colour
            _cell(canvas, concept, column, left, top + LABEL + n * (CELL + GAP), _colour(n))
        canvas.text(left + column.width / 2, top + LABEL / 2 - 2, column.label, TOKEN_SIZE, colour, "mm")
        left += column.width + GAP
    for n, name in enumerate(_names(table)):
        canvas.text(MARGIN, top + LABEL + n * (CELL + GAP) + CELL / 2, name, NAME_SIZE, _colour(n))


def _cell(canvas: Canvas, concept: ConceptGates, column: _Column, left: int, top: int, colour: str) -> None:
    middle = (left + column.width / 2, top + CELL / 2)
    canvas.box(left, top, column.width, CELL, EDGE, 7)
    if concept.similarities is None or concept.kept[column.places[0]]:
        canvas.box(left + 1, top + 1, column.width - 2, CELL - 2, PAPER, 6)
        canvas.text(*middle, "-" if concept.similarities is None else "kept", NUMBER_SIZE, GREY, "mm")
        return
    place = max(column.places, key=lambda n: concept.gates[n].item())
    gate = concept.gates[place].item()
    canvas.box(left + 1, top + 1, column.width - 2, CELL - 2, mixed(WHITE, colour, gate), 6)
    # Adding 0 makes a rounded -0 a 0.
    number = f"{round(concept.similarities[place].item(), 2) + 0:.2f}"
    canvas.text(*middle, number, NUMBER_SIZE, WHITE if gate > 0.55 else INK, "mm")
