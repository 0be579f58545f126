"""The questions, each as drawings to compare: a label for a row of a table -> the drawing, of any subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

from .recipes import RATE_GRID, RATES, drawing_of
from .specs import OURS, TRAINED_KEYS, Drawing, Subject

Variants = dict[str, Drawing]
TUNING_PROMPTS = 10


@dataclass(frozen=True)
class Sign:
    """A finding of the paper as a comparison of two drawings, both with everything else the same."""

    claim: str
    better: Drawing
    other: Drawing
    measure: str
    """``alignment``, ``identity``, ``product`` or ``alignment at equal identity``."""
    largest: float = 1.0
    """The most that the difference may be: a claim of "slightly" is wrong beyond it."""


def signs(seeds: int = 1) -> list[Sign]:
    """The paper's findings (a) to (g), with ``seeds`` sampling seeds. Each seed of noise is shared by the two sides."""
    ours, trained = (drawing_of(method, seeds=seeds) for method in (OURS, TRAINED_KEYS))
    low, high = ours.turned(bias=0.3), ours.turned(bias=0.9)
    return [
        Sign("(a) locked keys beat trained keys on text alignment at equal identity", ours, trained,
             "alignment at equal identity"),
        Sign("(b) the mask raises text alignment", ours, ours.learned(masked=False), "alignment"),
        Sign("(c) the higher training bias (0.75) is better than 0.4", ours, ours.learned(bias=0.4), "product"),
        Sign("(d) temperature 0.15 at inference is better than 0.1", ours, ours.turned(temperature=0.1), "product"),
        Sign("(e) global locking beats local on text alignment", ours.turned(locking="global_gated"), ours,
             "alignment"),
        Sign("(f) five pictures are slightly better than one", ours, ours.learned(pictures=1), "product", 0.15),
        Sign("(g) a lower bias (0.3) gives more identity than 0.9", low, high, "identity"),
        Sign("(g) a higher bias (0.9) gives more text alignment", high, low, "alignment"),
    ]  # fmt: skip


def rate_study(methods: Sequence[str]) -> Variants:
    """Learning rates."""
    return {
        f"{method}, word {word:g}, rest {rest:g}": replace(
            drawing_of(method, word_rate=word, rate=rest), prompts=TUNING_PROMPTS
        )
        for method in methods
        for word, rest in RATE_GRID.get(method, (RATES[method],))
    }


def open_questions() -> dict[str, Variants]:
    """What the paper leaves open, question by question."""
    ours = drawing_of(OURS)
    return {
        "gradient through i*": {"straight-through": ours, "none": ours.learned(gradient="none")},
        "decay of i*": {f"{decay:g}": ours.learned(decay=decay) for decay in (0.9, 0.99, 0.0)},
        "steps": {f"{steps}": ours.learned(steps=steps) for steps in (50, 100, 200)},
        "token mix of C": {mix: ours.learned(mix=mix) for mix in ("words", "words and end", "no start", "all")},
        "captions for C": {f"{count:,}": ours.learned(captions=count) for count in (1000, 5000, 20000)},
        "damping of C": {f"{value:g}": ours.learned(damping=value) for value in (1e-2, 1e-4, 1e-3, 1e-1)},
        "gate": {"as in the paper": ours, "leak-free": ours.turned(leak_free=True)},
        "key locking": {
            name: ours.turned(locking=name) for name in ("local", "exact", "global_gated", "global_pure", "off")
        },
        "temperature": {f"{value:g}": ours.turned(temperature=value) for value in (0.1, 0.15, 0.25)},
        "visual strength": {f"{value:g}": ours.turned(strength=value) for value in (0.5, 1.0, 1.25)},
    }


def file_precisions(seeds: int) -> Variants:
    """Ours read back from files of every precision; the first loses nothing."""
    return {name: drawing_of(OURS, seeds=seeds).turned(precision=name) for name in ("fp32", "fp16", "int8")}


def company_dials() -> Variants:
    """Settings that might keep two concepts in one picture apart, one changed at a time."""
    ours = drawing_of(OURS)
    return {
        "as recommended": ours,
        "strength 0.5": ours.turned(strength=0.5),
        "strength 0.75": ours.turned(strength=0.75),
        "β 0.3": ours.turned(bias=0.3),
        "β 0.75": ours.turned(bias=0.75),
        "β 0.9": ours.turned(bias=0.9),
        "temperature 0.1": ours.turned(temperature=0.1),
        "leak-free": ours.turned(leak_free=True),
        "global locking": ours.turned(locking="global_gated"),
        "exact locking": ours.turned(locking="exact"),
    }


def circles(subjects: Sequence[Subject]) -> list[Sequence[Subject]]:
    """Threes, every subject of eight in six of them."""
    ring, shapes = len(subjects), ((0, 1, 3), (0, 2, 5))
    threes = {tuple(sorted({(start + step) % ring for step in shape})) for shape, start in product(shapes, range(ring))}
    return [[subjects[index] for index in three] for three in sorted(threes) if len(three) == 3]


def neighbours(subjects: Sequence[Subject]) -> list[Sequence[Subject]]:
    """Pairs, no subject in two of them."""
    return [subjects[start : start + 2] for start in range(0, len(subjects) - 1, 2)]
