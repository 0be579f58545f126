"""The settings the proof runs with, found on the tuning individuals, and the grids they were chosen from."""

from __future__ import annotations

from .specs import (
    BASE,
    DREAMBOOTH,
    LORA,
    OURS,
    PERFUSION,
    POSITION,
    POSITION_LATER,
    RANK_ONE,
    RESIDUAL,
    TRAINED_KEYS,
    WORD,
    Dial,
    Drawing,
    Learning,
    Subject,
)

METHODS = (BASE, OURS, POSITION, POSITION_LATER, WORD, TRAINED_KEYS, RESIDUAL, RANK_ONE, LORA, DREAMBOOTH)
STEPS, BATCH_SIZE = 50, 8

RATES = {
    BASE: (0.0, 0.0),
    OURS: (0.02, 0.3),
    POSITION: (0.0, 0.3),
    POSITION_LATER: (0.0, 0.3),
    TRAINED_KEYS: (0.02, 0.3),
    WORD: (0.1, 0.0),
    RESIDUAL: (0.02, 0.3),
    RANK_ONE: (0.02, 0.003),
    LORA: (0.02, 0.0003),
    DREAMBOOTH: (0.02, 0.0001),
}
"""Method -> learning rates of the word and of everything else: of the grid below, those with the largest product of
identity and text alignment on the tuning individuals; of two within 0.01 of it, the one that leaks less in a pair."""

RATE_GRID = {
    OURS: ((0.02, 0.1), (0.02, 0.3), (0.02, 1.0)),
    POSITION: ((0.0, 0.1), (0.0, 0.3), (0.0, 1.0)),
    POSITION_LATER: ((0.0, 0.1), (0.0, 0.3), (0.0, 1.0)),
    TRAINED_KEYS: ((0.02, 0.1), (0.02, 0.3), (0.02, 1.0)),
    WORD: ((0.03, 0.0), (0.1, 0.0), (0.3, 0.0)),
    RESIDUAL: ((0.02, 0.1), (0.02, 0.3), (0.02, 1.0)),
    RANK_ONE: ((0.02, 0.003), (0.02, 0.01), (0.02, 0.03)),
    LORA: ((0.02, 0.0003), (0.02, 0.001), (0.02, 0.003)),
    DREAMBOOTH: ((0.02, 0.00003), (0.02, 0.0001), (0.02, 0.0003)),
}
OPERATING_POINT, TEMPLATE = Dial(), Subject(0)


def learning_of(method: str, subject: Subject, **changes) -> Learning:
    word_rate, rate = RATES[method]
    wanted = {"steps": STEPS, "batch_size": BATCH_SIZE, "word_rate": word_rate, "rate": rate} | changes
    return Learning(method, subject, **({"steps": 0} if method == BASE else wanted))


def drawing_of(method: str, subject: Subject = TEMPLATE, seeds: int = 1, **changes) -> Drawing:
    """At the operating point; of another subject with ``of``."""
    return Drawing((learning_of(method, subject, **changes),), OPERATING_POINT, seeds=seeds)


def dials_of(drawing: Drawing) -> dict[str, Drawing]:
    """The settings of one learned subject that its curve is drawn through."""
    if drawing.method == BASE:
        return {"-": drawing}
    if drawing.method in PERFUSION:
        return {f"β {bias:g}": drawing.turned(bias=bias) for bias in (0.3, 0.45, 0.6, 0.9)}
    return {f"strength {strength:g}": drawing.turned(strength=strength) for strength in (0.5, 1.0)}
