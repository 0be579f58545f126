"""One concept beside a companion that the prompt names by its class alone: what it does to others in its picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pixelworld.captions import OPENINGS, OPPOSITE, Caption
from pixelworld.concepts import PLACEHOLDER
from pixelworld.reader import Reading, identity_score, read

from .company import places_for
from .drawing import SAMPLING_SEED, draw_batch
from .methods import Taught, applied
from .specs import BASE, Drawing, Subject, weights_fingerprint
from .store import Store, key_of
from .subjects import CLASSES
from .work import by_learning, learned, results

COLUMNS = ("raw identity", "companion as named", "place right", "concept's traits on the companion")


def companion_captions(subject: Subject) -> list[tuple[Caption, str]]:
    """Every other class as companion, named after the concept and before it; with where the concept stands.

    Sides are in turn, places ones the subject was not trained in, and all of it is named.
    """
    own, places = subject.individual().class_word, places_for([subject])
    captions = []
    others = [word for word in CLASSES if word != own]
    for number, (other, concept_first) in enumerate(product(others, (True, False))):
        opening, place, first = OPENINGS[number % 3], places[number % len(places)], ("left", "right")[number // 2 % 2]
        classes = (own, other) if concept_first else (other, own)
        caption = Caption(classes[0], opening, place, position=first, partner=classes[1])
        captions.append((caption, first if concept_first else OPPOSITE[first]))
    return captions


def companion_texts(subject: Subject, word: str | None) -> list[str]:
    """The prompts, with ``word`` for the concept, or its class word where there is none."""
    own = subject.individual().class_word
    return [
        caption.text(word) if caption.class_word == own else caption.text(None, word)
        for caption, _ in companion_captions(subject)
    ]


def companions_work(drawings: Sequence[Drawing], subjects: Sequence[Subject], store: Store, processes: int) -> None:
    """Make what the store lacks, learning what it needs. Of a drawing only learning, dial and seeds count."""
    wanted = [drawing.of(subject) for drawing in drawings for subject in subjects]
    missing = [drawing for drawing in dict.fromkeys(wanted) if companion_record(drawing, store) is None]
    for _ in results(_draw, [(group, store.folder) for group in by_learning(missing)], processes):
        pass


def _key(drawing: Drawing) -> str:
    dial = None if drawing.learning.method == BASE else str(drawing.dial)
    return key_of([weights_fingerprint(), "companions", str(drawing.learning), dial, drawing.seeds])


def companion_record(drawing: Drawing, store: Store) -> dict[str, Any] | None:
    return store.record("companions", _key(drawing))


def companion_pictures(drawing: Drawing, store: Store) -> np.ndarray:
    """(prompts * seeds, 16, 16, 3) in [0, 1], of a record in the store."""
    return store.tensors("companions", _key(drawing))["pictures"].numpy() / 255


def _draw(task: tuple[Sequence[Drawing], Path]) -> None:
    drawings, folder = task
    for drawing in drawings:
        store, learning = Store(folder), drawing.learning
        texts = companion_texts(learning.subject, None if learning.method == BASE else PLACEHOLDER)
        state, parts = learned(learning, store), []
        for seed in range(drawing.seeds):
            with applied([Taught(learning, state)], drawing.dial, texts) as encodings:
                noises = [SAMPLING_SEED + 900 + 1000 * seed + number for number in range(len(texts))]
                parts.append(draw_batch(encodings, noises))
        pictures = torch.cat(parts)
        store.keep_tensors("companions", _key(drawing), {"pictures": pictures})
        store.keep_record("companions", _key(drawing), {"rows": rows_of(learning.subject, pictures)})


def rows_of(subject: Subject, pictures: torch.Tensor) -> list[list[float]]:
    """COLUMNS of each picture (N, 16, 16, 3), uint8; not a number where there is no companion to look at."""
    individual, unit, captions = subject.individual(), pictures.float() / 255, companion_captions(subject)
    rows = []
    for number, reading in enumerate(read(unit)):
        caption, side = captions[number % len(captions)]
        identity = float(identity_score(unit[number : number + 1], individual, side))
        rows.append(
            [identity, *companion_row(caption, individual.class_word, side, astuple(individual.traits), reading)]
        )
    return rows


def companion_row(
    caption: Caption, own: str, side: str, traits: Sequence[str], reading: Reading
) -> tuple[float, float, float]:
    """Whether the companion is where it was named, whether the place is, and the concept's traits on the companion."""
    other = caption.partner if caption.class_word == own else caption.class_word
    companions = [figure for figure in reading.figures if figure.class_word == other]
    placed = any(figure.position == OPPOSITE[side] for figure in companions)
    worn = float("nan")
    if companions:
        worn = float(np.mean([a == b for a, b in zip(astuple(companions[0].traits), traits, strict=True)]))
    return float(placed), float(reading.place == caption.place), worn
