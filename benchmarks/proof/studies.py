"""The questions, each as drawings to compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .recipes import OPERATING_POINT, RATE_GRID, RATES, TUNING_PROMPTS, dials_of, drawing_of
from .specs import BASE, OURS, TRAINED_KEYS, Dial, Drawing, StatisticsChoice, Subject

TEMPLATE = Subject(0)
"""Stands for every individual in a study's drawings."""


@dataclass(frozen=True)
class Variant:
    """One way of doing it, for a row of a table."""

    label: str
    drawing: Drawing


@dataclass(frozen=True)
class Sign:
    """A finding of the paper as a comparison of two variants, both with everything else the same."""

    letter: str
    claim: str
    better: Drawing
    other: Drawing
    measure: str
    """``alignment``, ``identity``, ``product`` or ``alignment at equal identity``."""
    largest: float = 1.0
    """The most that the difference may be: a claim of "slightly" is wrong beyond it."""

    @property
    def methods(self) -> set[str]:
        return {side.learning.method for side in (self.better, self.other)}


def front(methods: Sequence[str], seeds: int, operating_seeds: int) -> list[Variant]:
    """Every method at every setting of its dial; the settings that the main table reports with more seeds."""
    variants = []
    for method in methods:
        for dial in dials_of(method):
            chosen = dial == OPERATING_POINT and method in (BASE, OURS)
            variants.append(Variant(method, drawing_of(method, TEMPLATE, dial, operating_seeds if chosen else seeds)))
    return variants


def of_all(variants: Sequence[Variant], subjects: Sequence[Subject]) -> list[Drawing]:
    """A variant's drawings for every subject, variant by variant."""
    return [variant.drawing.of(subject) for variant in variants for subject in subjects]


def signs(seeds: int = 1) -> list[Sign]:
    """The paper's findings (a) to (g), with ``seeds`` sampling seeds. Each seed of noise is shared by the two sides."""
    ours = drawing_of(OURS, TEMPLATE, seeds=seeds)

    def dialled(**changes) -> Drawing:
        return replace(ours, dial=replace(ours.dial, **changes))

    def learned(**changes) -> Drawing:
        return replace(ours, learning=replace(ours.learning, **changes))

    return [
        Sign("a", "locked keys beat trained keys on text alignment at equal identity", ours,
             drawing_of(TRAINED_KEYS, TEMPLATE, seeds=seeds), "alignment at equal identity"),
        Sign("b", "the mask raises text alignment", ours, learned(masked=False), "alignment"),
        Sign("c", "the higher training bias (0.75) is better than 0.4", ours, learned(bias=0.4), "product"),
        Sign("d", "temperature 0.15 at inference is better than 0.1", ours, dialled(temperature=0.1), "product"),
        Sign("e", "global locking beats local on text alignment", dialled(locking="global_gated"), ours, "alignment"),
        Sign("f", "five pictures are slightly better than one", ours, learned(pictures=1), "product", largest=0.15),
        Sign("g", "a lower bias (0.3) gives more identity than 0.9", dialled(bias=0.3), dialled(bias=0.9), "identity"),
        Sign("g", "a higher bias (0.9) gives more text alignment", dialled(bias=0.9), dialled(bias=0.3), "alignment"),
    ]  # fmt: skip


def rate_study(methods: Sequence[str]) -> list[Variant]:
    """Learning rates, on the tuning individuals."""

    def tried(method: str, word: float, rest: float) -> Drawing:
        return replace(drawing_of(method, TEMPLATE, word_rate=word, rate=rest), prompts=TUNING_PROMPTS)

    return [
        Variant(f"{method}, word {word:g}, rest {rest:g}", tried(method, word, rest))
        for method in methods
        for word, rest in RATE_GRID.get(method, (RATES[method],))
    ]


def open_questions() -> dict[str, list[Variant]]:
    """What the paper leaves open, question by question, on the tuning individuals."""

    def of(label: str, dial: Dial = OPERATING_POINT, **changes) -> Variant:
        return Variant(label, drawing_of(OURS, TEMPLATE, dial, **changes))

    def statistics(label: str, **changes) -> Variant:
        return of(label, statistics=StatisticsChoice(**changes))

    default = StatisticsChoice()
    return {
        "gradient through i*": [of("straight-through"), of("none", gradient="none")],
        "decay of i*": [of(f"{decay:g}", decay=decay) for decay in (0.9, 0.99, 0.0)],
        "steps": [of(f"{steps}", steps=steps) for steps in (50, 100, 200)],
        "token mix of C": [statistics(mix, mix=mix) for mix in ("words", "words and end", "no start", "all")],
        "captions for C": [statistics(f"{count:,}", captions=count) for count in (1000, 5000, 20000)],
        "damping of C": [statistics(f"{value:g}", damping=value) for value in (default.damping, 1e-4, 1e-3, 1e-1)],
        "gate": [of("as in the paper"), of("leak-free", replace(OPERATING_POINT, leak_free=True))],
        "key locking": [
            of(locking, replace(OPERATING_POINT, locking=locking))
            for locking in ("local", "exact", "global_gated", "global_pure", "off")
        ],
        "temperature": [of(f"{value:g}", replace(OPERATING_POINT, temperature=value)) for value in (0.1, 0.15, 0.25)],
        "visual strength": [of(f"{value:g}", replace(OPERATING_POINT, strength=value)) for value in (0.5, 1.0, 1.25)],
    }


def file_precisions(seeds: int) -> list[Variant]:
    """Ours read back from files of every precision; the first loses nothing."""
    return [
        Variant(precision, drawing_of(OURS, TEMPLATE, replace(OPERATING_POINT, precision=precision), seeds))
        for precision in ("fp32", "fp16", "int8")
    ]


def company_dials() -> list[Variant]:
    """Settings that might keep two concepts in one picture apart, one changed at a time."""
    changes = {
        "as recommended": {},
        "strength 0.5": {"strength": 0.5},
        "strength 0.75": {"strength": 0.75},
        "β 0.3": {"bias": 0.3},
        "β 0.75": {"bias": 0.75},
        "β 0.9": {"bias": 0.9},
        "temperature 0.1": {"temperature": 0.1},
        "leak-free": {"leak_free": True},
        "global locking": {"locking": "global_gated"},
        "exact locking": {"locking": "exact"},
    }
    return [
        Variant(label, drawing_of(OURS, TEMPLATE, replace(OPERATING_POINT, **change)))
        for label, change in changes.items()
    ]
