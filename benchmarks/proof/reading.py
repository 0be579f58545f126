"""What the reader finds in pictures, and what that says about a prompt: a row of numbers for each picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, replace
from typing import Any

import numpy as np
from torch import Tensor

from pixelworld.captions import OPPOSITE, Caption, sample_scene
from pixelworld.reader import Reading, identity_score, read
from pixelworld.scene import Individual, render
from pixelworld.traits import leaked_traits

from .scenes import captions_of, side_of
from .specs import ALONE, BESIDE, UNNAMED, Drawing, Subject


def rows_of(drawing: Drawing, pictures: Tensor) -> list:
    """A row for each of the pictures (N, 16, W, 3), uint8."""
    unit, captions = pictures.float() / 255, captions_of(drawing)
    row_of = {ALONE: alone_row, BESIDE: beside_row, UNNAMED: lambda *_: []}.get(drawing.scene, together_row)
    return [
        row_of(drawing.subjects, captions[number % len(captions)], reading, unit[number : number + 1])
        for number, reading in enumerate(read(unit))
    ]


def alone_row(subjects: Sequence[Subject], caption: Caption, reading: Reading, picture: Tensor) -> dict[str, Any]:
    individual = subjects[0].individual()
    return {
        "identity": float(identity_score(picture, individual)),
        "right": attributes_right(caption, reading),
        "copied": reading.place == individual.place,
    }


def beside_row(subjects: Sequence[Subject], caption: Caption, reading: Reading, picture: Tensor) -> list[float]:
    """Raw identity, and what ``companion_row`` says of the other figure."""
    individual = subjects[0].individual()
    side = side_of(caption, individual.class_word)
    other = companion_row(caption, individual.class_word, astuple(individual.traits), reading)
    return [float(identity_score(picture, individual, side)), *other]


def companion_row(caption: Caption, own: str, traits: Sequence[str], reading: Reading) -> tuple[float, float, float]:
    """Whether the other figure is where it was named, whether the place is, and the concept's traits on the other."""
    other = caption.partner if caption.class_word == own else caption.class_word
    companions = [figure for figure in reading.figures if figure.class_word == other]
    placed = any(figure.position == OPPOSITE[side_of(caption, own)] for figure in companions)
    worn = float("nan")
    if companions:
        worn = float(np.mean([a == b for a, b in zip(astuple(companions[0].traits), traits, strict=True)]))
    return float(placed), float(reading.place == caption.place), worn


def together_row(subjects: Sequence[Subject], caption: Caption, reading: Reading, picture: Tensor) -> list[dict | None]:
    """Of each subject: none if it is not there, or its identity and the others' traits that its figure shows."""
    found, row = {figure.class_word: figure for figure in reversed(reading.figures)}, []
    for individual, others in ((s.individual(), [o for o in subjects if o != s]) for s in subjects):
        figure = found.get(individual.class_word)
        if figure is None:
            row.append(None)
            continue
        leaks = {
            str(other.index): leaked_traits(figure.traits, individual.traits, other.individual().traits)
            for other in others
        }
        row.append({"identity": float(identity_score(picture, individual, figure.position)), "leaks": leaks})
    return row


def attributes_right(caption: Caption, reading: Reading) -> dict[str, bool]:
    """Attribute the caption names -> whether the picture shows it. The figures' classes are left out."""
    figures = [f for f in reading.figures if not caption.partner or f.class_word == caption.class_word]
    figure = figures[0] if figures else None
    right = {}
    if caption.place:
        right["place"] = reading.place == caption.place
    if caption.position:
        right["position"] = figure is not None and figure.position == caption.position
    if caption.accessory:
        right["accessory"] = figure is not None and figure.accessory == caption.accessory
    if caption.object:
        right["object"] = reading.object == caption.object
    if caption.object_colour:
        right["object_colour"] = right["object"] and reading.object_colour == caption.object_colour
    return right


def scaled_identity(raw: float, class_word: float, ceiling: float) -> float:
    """0 for what the superclass gives, 1 for the reader's ceiling on rendered pictures of the individual."""
    return (raw - class_word) / (ceiling - class_word)


def rendered(caption: Caption, individual: Individual, rng: np.random.RandomState) -> np.ndarray:
    """A scene of ``caption`` with the individual in it (16, 16, 3): the best that any drawing can do."""
    scene = sample_scene(replace(caption, class_word=individual.class_word), rng)
    return render(replace(scene, figures=(replace(scene.figures[0], traits=individual.traits), *scene.figures[1:])))
