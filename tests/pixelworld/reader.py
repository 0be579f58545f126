"""The reader: finds the scene whose picture explains the given one best (analysis by synthesis).

Costs are squared colour distances with a cap, so that what no scene explains costs the same in all of them.
"""
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
import torch
from torch import Tensor

from . import art
from .scene import Individual, Traits, accessory_corner, sprite_layers, stamp

CAP = 0.25
"""Largest cost of one pixel."""
LEAST_GAIN, LARGEST_COST = 0.2, 0.5
"""Shares of its cells' largest cost: a thing is present if it costs at least the first less than the empty place, and
at most the second."""
MOST_FIGURES = 3
JITTERS = ((0, 0), (1, 0), (0, 1), (1, 1))
FIRST, SECOND, CLEAR, MARK = -1.0, -2.0, -3.0, -4.0
"""Values no colour has: a cell in the first body colour, in the second, one the thing leaves open, one of the mark."""


@dataclass(frozen=True)
class FigureReading:
    """One sprite found in a picture; `corner` is (left, top)."""

    class_word: str
    position: str
    accessory: str | None
    traits: Traits
    corner: tuple[int, int]


@dataclass(frozen=True)
class Reading:
    """What a picture shows. `figures` come in the order of how much of the picture they explain."""

    figures: tuple[FigureReading, ...]
    place: str
    object: str | None
    object_colour: str | None

    @property
    def count(self) -> int:
        return len(self.figures)


def probe_canvas(width: int) -> np.ndarray:
    """An all-clear canvas (16, width, 3)."""
    return np.full((art.SIZE, width, 3), CLEAR, np.float32)


def corners(width: int) -> list[tuple[int, int]]:
    """(left, top) of every sprite looked for: in a picture of the world's own width where its figures stand, in a
    wider one, which the world was never shown, in every column."""
    if width == art.SIZE:
        return [(left + dx, 6 + dy) for left in art.POSITIONS.values() for dx, dy in JITTERS]
    return [(left, 6 + dy) for left in range(width - art.SPRITE_WIDTH + 1) for dy in (0, 1)]


def position_of(left: int, width: int) -> str:
    """The third of the picture that the middle of a sprite at column `left` lies in."""
    return list(art.POSITIONS)[int(3 * (left + art.SPRITE_WIDTH / 2) / width)]


def probe_figure(
    word: str,
    pattern: str,
    mark: str,
    corner: tuple[int, int],
    accessory: str | None,
    width: int,
    mark_value: float | None = None,
) -> np.ndarray:
    """A figure on a clear canvas (16, width, 3), its body colours as FIRST and SECOND; the mark is white by default."""
    first, second = list(art.BODY_COLOURS)[:2]
    colours, opaque, body = sprite_layers(word, Traits(first, second, pattern, mark))
    for name, probe in ((first, FIRST), (second, SECOND)):
        colours[body & (colours == np.float32(art.BODY_COLOURS[name])).all(-1)] = probe
    if mark_value is not None:
        colours[body & (colours == np.float32(art.MARK_INK)).all(-1)] = mark_value
    canvas, (left, top) = probe_canvas(width), corner
    canvas[top:top + art.SPRITE_HEIGHT, left:left + art.SPRITE_WIDTH][opaque] = colours[opaque]
    if accessory:
        stamp(canvas, art.ACCESSORIES[accessory], *accessory_corner(word, accessory, *corner))
    return canvas


def capped_costs(pictures: Tensor, colours: Tensor) -> Tensor:
    """Pictures (batch, P, 3) against colours (n, 1 or P, 3): capped squared distances (n, batch, P)."""
    return (pictures[None] - colours[:, None]).square().sum(-1).clamp(max=CAP)


class Hypotheses:
    """Many canvases of one kind of thing as cell masks: which cells take each ink, the first and the second colour."""

    def __init__(self, labels: list[tuple], canvases: list[np.ndarray]) -> None:
        stack = torch.from_numpy(np.stack(canvases)).flatten(1, 2)  # (H, P, 3)
        self.labels = labels
        self.cells = (stack[..., 0] != CLEAR).float()
        self.first = (stack[..., 0] == FIRST).float()
        self.second = (stack[..., 0] == SECOND).float()
        self.inks = torch.tensor(sorted({*art.INKS.values(), art.MARK_INK}), dtype=torch.float32)
        self.inked = (stack[None] == self.inks[:, None, None]).all(-1).float()  # (inks, H, P)

    def costs(self, pictures: Tensor, colours: Tensor, taken: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cost (batch, H) of each hypothesis over its own cells, and its best first and second colours (batch, H).

        `taken` (batch, P) marks pixels that another thing has explained already: they cost the cap.
        """
        inks = torch.maximum(capped_costs(pictures, self.inks[:, None]), CAP * taken)
        painted = torch.maximum(capped_costs(pictures, colours[:, None]), CAP * taken)
        total = torch.einsum("ibp,ihp->bh", inks, self.inked)
        first, first_colour = (painted @ self.first.T).min(0)
        second, second_colour = (painted @ self.second.T).min(0)
        return total + first + second, first_colour, second_colour


class Reader:
    """Every hypothesis as masks, prepared once; reading is then a few matrix products.

    For pictures of 16 rows and `width` columns, P = 16 * width pixels.
    """

    def __init__(self, width: int = art.SIZE) -> None:
        accessories = [None, *art.ACCESSORIES]
        labels, canvases = [], []
        for word, pattern, mark, corner, accessory in product(
            art.SPRITES, art.PATTERNS, art.MARKS, corners(width), accessories
        ):
            labels.append((word, position_of(corner[0], width), accessory, pattern, mark, corner))
            canvases.append(probe_figure(word, pattern, mark, corner, accessory, width))
        self.figures = Hypotheses(labels, canvases)
        labels, canvases = [], []
        for name, left in product(art.OBJECTS, (0, width - 4)):
            canvas = probe_canvas(width)
            stamp(canvas, art.OBJECTS[name], left, art.OBJECT_ROWS[name], (FIRST,) * 3)
            labels.append((name, left))
            canvases.append(canvas)
        self.objects = Hypotheses(labels, canvases)
        self.places = [place for place in art.PLACES for _ in range(art.VARIANTS)]
        empty = [art.background(place, variant, width) for place in art.PLACES for variant in range(art.VARIANTS)]
        self.backgrounds = torch.from_numpy(np.stack(empty)).flatten(1, 2)  # (24, P, 3)
        self.body_colours = torch.tensor(list(art.BODY_COLOURS.values()), dtype=torch.float32)
        self.named_colours = torch.tensor(list(art.NAMED_COLOURS.values()), dtype=torch.float32)

    def _best(
        self, things: Hypotheses, pictures: Tensor, colours: Tensor, empty: Tensor, taken: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Per picture the hypothesis that explains most: index, presence, first and second colour, each (batch,)."""
        costs, first, second = things.costs(pictures, colours, taken)
        size = CAP * things.cells.sum(1)
        gains = (empty * (1 - taken)) @ things.cells.T - costs
        best = gains.argmax(1, keepdim=True)
        gain, cost = gains.gather(1, best)[:, 0], costs.gather(1, best)[:, 0]
        present = (gain > LEAST_GAIN * size[best[:, 0]]) & (cost < LARGEST_COST * size[best[:, 0]])
        return best[:, 0], present, first.gather(1, best)[:, 0], second.gather(1, best)[:, 0]

    @torch.no_grad()
    def read(self, pictures: Tensor) -> list[Reading]:
        """Readings of pictures (batch, 16, width, 3) in [0, 1]."""
        flat = pictures.float().flatten(1, 2)
        by_place = capped_costs(flat, self.backgrounds)
        place = by_place.sum(-1).argmin(0)
        empty = by_place[place, torch.arange(len(flat))]
        taken = torch.zeros_like(empty)
        figures: list[list[FigureReading]] = [[] for _ in flat]
        names = list(art.BODY_COLOURS)
        for _ in range(MOST_FIGURES):
            index, present, first, second = self._best(self.figures, flat, self.body_colours, empty, taken)
            taken = torch.maximum(taken, self.figures.cells[index] * present[:, None])
            for row in present.nonzero()[:, 0].tolist():
                word, position, accessory, pattern, mark, corner = self.figures.labels[index[row]]
                traits = Traits(names[first[row]], names[second[row]], pattern, mark)
                figures[row].append(FigureReading(word, position, accessory, traits, corner))
        index, present, colour, _ = self._best(self.objects, flat, self.named_colours, empty, taken)
        readings = []
        for row, found in enumerate(figures):
            name = self.objects.labels[index[row]][0] if present[row] else None
            shade = list(art.NAMED_COLOURS)[colour[row]] if name else None
            readings.append(Reading(tuple(found), self.places[place[row]], name, shade))
        return readings


@cache
def _reader_of(width: int) -> Reader:
    return Reader(width)


def read(pictures: Tensor) -> list[Reading]:
    """Readings of pictures (batch, 16, W, 3) in [0, 1], by a reader of their width that is prepared once."""
    return _reader_of(pictures.shape[2]).read(pictures)


@torch.no_grad()
def identity_score(pictures: Tensor, individual: Individual, position: str | None = None) -> Tensor:
    """How much of the individual's body is in each picture (batch, 16, W, 3), in [0, 1] (batch,).

    The share of its visible body cells, its mark's among them, softly counted, that have its colours, where it fits
    best; `position` looks in one position only.

    An individual of the same class that shares some of the traits scores in between.
    """
    traits, word, width = individual.traits, individual.class_word, pictures.shape[2]
    canvases = [
        probe_figure(word, traits.pattern, traits.mark, corner, accessory, width, MARK)
        for corner, accessory in product(corners(width), [None, *art.ACCESSORIES])
        if position in (None, position_of(corner[0], width))
    ]
    cells = torch.from_numpy(np.stack(canvases)).flatten(1, 2)[..., 0]  # (H, P)
    inks = {FIRST: art.BODY_COLOURS[traits.first], SECOND: art.BODY_COLOURS[traits.second], MARK: art.MARK_INK}
    masks = torch.stack([(cells == probe).float() for probe in inks])  # (3, H, P)
    colours = torch.tensor(list(inks.values()), dtype=torch.float32)
    costs = torch.einsum("ibp,ihp->bh", capped_costs(pictures.float().flatten(1, 2), colours[:, None]), masks)
    return (1 - costs / (CAP * masks.sum((0, 2)))).max(1).values
