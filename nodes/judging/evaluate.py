"""Evaluate Perfusion Concept: the user's own proof, as a sheet of pictures and a table to post."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...perfusion_ops.edit.schedule import Schedule
from ...perfusion_ops.judging.choice import worth
from ...perfusion_ops.text.prompts import fill_template
from ..families.family import family_of, title_of
from ..host.applying import InEffect
from ..host.belonging import check_first_stage, check_text_once
from ..host.messages import warn_of
from ..training.pictures import Shot
from .drawing import Drawn, Studio, encoded, side_by_side
from .inputs import connected_pictures, judge_of, one_of_each, said_of, said_while_drawing, studio_of
from .judges import ModelJudge, Score
from .point import Point
from .prompts import prompts_of
from .report import Line
from .sheet import Cell, Row, sheet
from .table import markdown, number

LISTS = ("images", "masks")
NODE = "Evaluate Perfusion Concept"
HARM = "a photo of a tree beside a house"
"""Without any concept word or usual superclass: what a method changes here, it changes everywhere."""
NO_PICTURES = "Connect the training pictures to images for identity and agreement."
NOT_SCORED = (
    "The other methods are not scored: without CLIP_VISION the concept itself would be their judge. Connect "
    "clip_vision."
)


@dataclass(frozen=True)
class Method:
    """A way to draw the subject: its own model and CLIP, and the word that names it in them."""

    name: str
    model: Any
    clip: Any
    word: str


@dataclass(frozen=True)
class Evaluated:
    """What the node gives."""

    sheet: Tensor
    pictures: Tensor
    table: str


@dataclass(frozen=True)
class Evaluation:
    """The node's inputs, checked."""

    point: Point
    effect: InEffect
    methods: list[Method]
    """The plain model first, then the concept, then others."""
    studio: Studio
    prompts: list[str]
    negative: str
    shots: list[Shot]
    one: Mapping[str, Any]

    @classmethod
    def of(cls, inputs: Mapping[str, list]) -> Evaluation:
        """Raises ValueError, with one sentence, before anything is drawn."""
        one = one_of_each(inputs, LISTS, NODE)
        dials = {name: one[name] for name in ("bias", "temperature", "visual_strength", "key_locking")}
        point = Point(one["concept"], **dials, schedule=one.get("schedule") or Schedule())
        concept, studio = point.concept, studio_of(one)
        check_first_stage(one["model"], studio.vae)
        effect = point.applied(one["model"], one["clip"])
        methods = [
            Method("plain model", one["model"], one["clip"], concept.superclass),
            Method(f"concept {concept.word}", effect.model, effect.clip, concept.word),
            *_others(one),
        ]
        prompts = prompts_of(one["prompts"], one["kind"])
        return cls(point, effect, methods, studio, prompts, one["negative"], connected_pictures(one), one)

    def run(self) -> Evaluated:
        said = said_of([self.effect])
        warn_of(*said)
        line = Line(len(self.methods) * (len(self.prompts) + 1))
        drawn, unnamed = [], []
        for method in self.methods:
            negative = encoded(method.clip, self.negative)
            texts = [fill_template(prompt, method.word) for prompt in self.prompts]
            *pictures, without = [self._draw(line, method, text, negative) for text in (*texts, HARM)]
            drawn.append(pictures)
            unnamed.append(without)
        scores, told = self._scores(drawn)
        changes = [float((each.pictures - unnamed[0].pictures).abs().max()) for each in unnamed]
        said += said_while_drawing([self.effect])
        line.ends(" ".join([f"{len(self.prompts)} prompts, {len(self.methods)} rows.", *said]))
        return Evaluated(
            self._sheet(drawn, unnamed, scores),
            torch.cat([each.pictures for row in drawn for each in row]),
            "\n\n".join([self._table(scores, changes), *told, *said, self._how()]),
        )

    def _draw(self, line: Line, method: Method, text: str, negative) -> Drawn:
        line.begins(f"{method.name}: {text}")
        return self.studio.draw(method.model, method.clip, text, negative)

    def _scores(self, drawn: Sequence[Sequence[Drawn]]) -> tuple[list[Score], list[str]]:
        """A score for each method, not numbers where none can be given; and what is to be said of them."""
        unknown = Score(math.nan, math.nan)
        judge = judge_of(self.one, self.point, self.prompts, self.shots, self.effect.naming)
        if judge is None:
            return [unknown] * len(drawn), [NO_PICTURES]
        # The concept would judge pictures of others by its own look.
        count = 2 if isinstance(judge, ModelJudge) else len(drawn)
        scores = [judge.score(pictures, drawn[0]) if n < count else unknown for n, pictures in enumerate(drawn)]
        return scores, [judge.described(), *([NOT_SCORED] if count < len(drawn) else [])]

    def _sheet(self, drawn: Sequence[Sequence[Drawn]], unnamed: Sequence[Drawn], scores: Sequence[Score]) -> Tensor:
        rows = [
            Row(method.name, [Cell(side_by_side(each.pictures)) for each in (*pictures, without)])
            for method, pictures, without in zip(self.methods, drawn, unnamed, strict=True)
        ]
        if self.shots:
            rows.append(Row("your pictures", [Cell(shot.pixels) for shot in self.shots[: len(self.prompts) + 1]]))
        return sheet(self.studio.described(), [*self.prompts, f"without it: {HARM}"], rows)

    def _table(self, scores: Sequence[Score], changes: Sequence[float]) -> str:
        return markdown(
            [
                {
                    "method": method.name,
                    "word": method.word,
                    "identity": number(score.identity),
                    "agreement": number(score.agreement),
                    "product": number(worth(score.identity, score.agreement)),
                    "prompt without it": "the same to the bit" if change == 0 else f"changed by up to {change:.3f}",
                }
                for method, score, change in zip(self.methods, scores, changes, strict=True)
            ]
        )

    def _how(self) -> str:
        concept, point = self.point.concept, self.point
        prompts = "; ".join(f"`{prompt}`" for prompt in self.prompts)
        return (
            f"The concept {concept.word!r} of {concept.superclass!r} ({title_of(concept.base_family)}): bias "
            f"{point.bias:g}, temperature {point.temperature:g}, visual strength {point.visual_strength:g}, "
            f"{point.key_locking} key locking.{point.scheduled()} {self.studio.described()}. Prompts: {prompts}. The "
            f"last column compares pictures of `{HARM}` with the plain model's; 1 is the whole range of a pixel."
        )


def _others(one: Mapping[str, Any]) -> list[Method]:
    """The connected pairs of another method. Raises ValueError for half a pair."""
    found = []
    for name in ("other", "second"):
        model, clip, word = (one.get(f"{name}_{part}") for part in ("model", "clip", "word"))
        if model is None and clip is None:
            if (word or "").strip():
                raise ValueError(f"{name}_word is given, and no {name}_model and {name}_clip are connected to draw it.")
            continue
        if model is None or clip is None:
            there, missing = ("clip", "model") if model is None else ("model", "clip")
            raise ValueError(
                f"{name}_{there} is connected and {name}_{missing} is not. Connect both; for an embedding, the plain "
                "model and CLIP."
            )
        if not (word or "").strip():
            raise ValueError(f"{name}_word is empty. Write what names the subject in that model's prompts.")
        _check_pair(name, model, clip)
        found.append(Method(f"{name}: {word.strip()}", model, clip, word.strip()))
    return found


def _check_pair(name: str, model, clip) -> None:
    """Raise ValueError for a CLIP of another model, where it is known what the model reads."""
    try:
        family_of(model)
    except ValueError:
        return
    try:
        check_text_once(model, clip)
    except ValueError as error:
        raise ValueError(f"{name}_clip is not of {name}_model. {error}") from None
