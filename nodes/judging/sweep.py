"""Perfusion Sweep: a grid of points, each drawn as the user's workflow would, scored, and one of them suggested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ...perfusion_ops.edit.schedule import Schedule
from ...perfusion_ops.judging.choice import suggested, worth
from ...perfusion_ops.text.prompts import fill_template
from ..host.applying import InEffect, naming_of
from ..host.belonging import check_first_stage
from ..host.messages import warn_of
from ..training.pictures import Shot
from .axes import CONCEPT, LOCKING, Axis, grid
from .drawing import Drawn, Studio, encoded, side_by_side
from .front_view import front_view
from .inputs import connected_pictures, judge_of, one_of_each, said_of, said_while_drawing, studio_of
from .judges import Judge, Score
from .point import Point
from .prompts import prompts_of
from .report import Line
from .sheet import Cell, Row, sheet
from .table import markdown, number

LISTS = ("concept", "images", "masks")
NODE = "Perfusion Sweep"
NOT_SCORED = "Connect your training pictures to images for scores and a suggestion."
NOT_MEASURED = (
    "The scores could not be measured, as the plain model's pictures score no lower in identity than your pictures, or "
    "no higher in agreement than what has nothing of the prompt. The outputs are the node's own values."
)


@dataclass(frozen=True)
class Swept:
    """What the node gives."""

    grid: Tensor
    front: Tensor
    pictures: Tensor
    """Of all cells, cell by cell, prompt by prompt (N, H, W, 3)."""
    table: str
    point: Point
    """The suggested one; the node's own where there is no suggestion."""
    told: str
    """The line that the node ends with."""


@dataclass(frozen=True)
class Sweep:
    """The node's inputs, checked."""

    model: Any
    clip: Any
    studio: Studio
    prompts: list[str]
    negative: str
    columns: Axis
    rows: Axis
    start: Point
    shots: list[Shot]
    one: Mapping[str, Any]

    @classmethod
    def of(cls, inputs: Mapping[str, list]) -> Sweep:
        """Raises ValueError, with one sentence, before anything is drawn."""
        one = one_of_each(inputs, LISTS, NODE)
        concepts = list(one["concept"])
        axes = [Axis.of(one[name], one[f"{name[:-1]}_values"], concepts) for name in ("columns", "rows")]
        if len(concepts) > 1 and CONCEPT not in (axes[0].dial, axes[1].dial):
            raise ValueError(
                f"{NODE} got {len(concepts)} concepts, and neither columns nor rows is {CONCEPT}. Choose {CONCEPT} for "
                "one of them, or connect one concept."
            )
        dials = {name: one[name] for name in ("bias", "temperature", "visual_strength", "key_locking")}
        start = Point(concepts[-1], **dials, schedule=one.get("schedule") or Schedule())
        sweep = cls(
            one["model"],
            one["clip"],
            studio_of(one),
            prompts_of(one["prompts"], "animal"),
            one["negative"],
            *axes,
            start,
            connected_pictures(one),
            one,
        )
        sweep.check()
        return sweep

    def check(self) -> None:
        """Raise ValueError for axes that make no grid, or a grid of one picture."""
        points = grid(self.columns, self.rows, self.start)
        turned = LOCKING in (self.columns.dial, self.rows.dial)
        if turned and not any(point.concept.has_learned_word for point in points):
            raise ValueError(
                f"The concept {self.start.concept.word!r} was trained with the gate 'position', so {LOCKING} has no "
                "effect on it and pictures would repeat. Choose another dial for columns and rows."
            )

    @cached_property
    def points(self) -> list[Point]:
        return grid(self.columns, self.rows, self.start)

    @property
    def labels(self) -> list[str]:
        return [
            ", ".join(filter(None, (self.columns.label(column), self.rows.label(row))))
            for row in range(len(self.rows.values))
            for column in range(len(self.columns.values))
        ]

    def run(self) -> Swept:
        effects = self._effects()
        said = said_of(effects)
        warn_of(*said)
        line = Line(len(self.points) + 1)
        line.begins(f"plain model, {self.start.concept.superclass}")
        plain = self._drawn(self.model, self.clip, self.start.concept.superclass)
        judge = judge_of(self.one, self.start, self.prompts, self.shots, effects[-1].naming)
        drawn, scores = [], []
        for effect, label in zip(effects, self.labels, strict=True):
            line.begins(label)
            drawn.append(self._drawn(effect.model, effect.clip, effect.naming.word))
            if judge is not None:
                scores.append(judge.score(drawn[-1], plain))
        swept = self._swept(plain, drawn, scores, judge, [*said, *said_while_drawing(effects)])
        line.ends(swept.told)
        return swept

    def _effects(self) -> list[InEffect]:
        """The concept in the model at each point. Raises ValueError for a model, CLIP or VAE that does not fit."""
        check_first_stage(self.model, self.studio.vae)
        # A concept that warns in one cell needs no warning in all others.
        namings = {id(point.concept): naming_of(point.concept) for point in self.points}
        return [point.applied(self.model, self.clip, namings[id(point.concept)]) for point in self.points]

    def _drawn(self, model, clip, word: str) -> list[Drawn]:
        negative = encoded(clip, self.negative)
        return [self.studio.draw(model, clip, fill_template(prompt, word), negative) for prompt in self.prompts]

    def _swept(
        self,
        plain: list[Drawn],
        drawn: list[list[Drawn]],
        scores: list[Score],
        judge: Judge | None,
        said: Sequence[str],
    ) -> Swept:
        pairs = [(score.identity, score.agreement) for score in scores]
        best = self._suggested(pairs)
        if judge is None:
            told = NOT_SCORED
        else:
            told = NOT_MEASURED if best is None else f"Suggested: {self.labels[best]}."
        told = " ".join((told, *said))
        return Swept(
            grid=self._sheet(plain, drawn, scores, best),
            front=front_view(pairs, self.labels, best, NOT_SCORED if judge is None else ""),
            pictures=torch.cat([each.pictures for cell in drawn for each in cell]),
            table="\n\n".join([self._table(scores, best), told, *([judge.described()] if judge else []), self._how()]),
            point=self.start if best is None else self.points[best],
            told=told,
        )

    def _suggested(self, pairs: list[tuple[float, float]]) -> int | None:
        if not pairs:
            return None
        turned = [point.turned_from(self.start) for point in self.points]
        return suggested(pairs, turned, [point.visual_strength > 1 for point in self.points])

    def _sheet(self, plain: list[Drawn], drawn: list[list[Drawn]], scores: Sequence[Score], best: int | None) -> Tensor:
        captions = [f"{n}: {said(score)}" for n, score in enumerate(scores, start=1)] or [""] * len(drawn)
        cells = [
            Cell(together(cell), caption, number == best)
            for number, (cell, caption) in enumerate(zip(drawn, captions, strict=True))
        ]
        count = len(self.columns.values)
        reference = Row("without", [Cell(together(plain), f"the superclass, {self.start.concept.superclass}")])
        rows = [
            Row(self.rows.label(row), cells[row * count : (row + 1) * count]) for row in range(len(self.rows.values))
        ]
        columns = [self.columns.label(column) for column in range(count)]
        title = " | ".join(fill_template(prompt, self.start.concept.word) for prompt in self.prompts)
        return sheet(title, columns, [*rows, reference])

    def _table(self, scores: Sequence[Score], best: int | None) -> str:
        if not scores:
            return markdown([{"cell": str(n), "point": label} for n, label in enumerate(self.labels, start=1)])
        return markdown(
            [
                {
                    "cell": str(n + 1),
                    "point": label + (" (suggested)" if n == best else ""),
                    "identity": number(score.identity),
                    "agreement": number(score.agreement),
                    "product": number(worth(score.identity, score.agreement)),
                }
                for n, (label, score) in enumerate(zip(self.labels, scores, strict=True))
            ]
        )

    def _how(self) -> str:
        concept = self.start.concept
        drawn = "; ".join(f"`{prompt}`" for prompt in self.prompts)
        return (
            f"The concept {concept.word!r} of {concept.superclass!r}. Prompts: {drawn}. {self.studio.described()}."
            f"{self.start.scheduled()}"
        )


def said(score: Score) -> str:
    return f"identity {number(score.identity)} · agreement {number(score.agreement)}"


def together(drawn: Sequence[Drawn]) -> Tensor:
    """All pictures of a cell side by side (H, W, 3)."""
    return side_by_side(torch.cat([each.pictures for each in drawn]))
