"""The ways to learn a subject that are compared, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

from perfusion_ops import EditedLayers
from pixelworld.joint.transformer import LAYERS
from proof.recipes import BATCH_SIZE, OPERATING_POINT, STEPS, TEMPLATE
from proof.specs import BASE, DREAMBOOTH, LORA, Drawing, Learning, Subject

POSITION, LATER_HALF = "P, isolated", "P, last 3 of 6 layers"
ALL = tuple(range(LAYERS))


@dataclass(frozen=True)
class Way:
    """How values are edited. Those of a LoRA or DreamBooth are not."""

    layers: tuple[int, ...] = ALL
    isolated: bool = True
    """Text queries see the plain values."""
    terms: int = 1
    """Residuals a layer: a constant one, and a second one, times sigma."""
    last_token: bool = False
    """Only the last of the superclass's tokens."""


WAYS = {
    POSITION: Way(),
    "P, not isolated": Way(isolated=False),
    # What Train takes for its choice of the later half.
    LATER_HALF: Way(layers=EditedLayers.LATER_HALF.among(ALL)),
    "P, last 2 of 6 layers": Way(layers=ALL[4:]),
    "P, last 4 of 6 layers": Way(layers=ALL[2:]),
    "P, first 3 of 6 layers": Way(layers=ALL[:3]),
    "P, two terms": Way(terms=2),
    "P, last token": Way(last_token=True),
}
METHODS = (*WAYS, LORA, DREAMBOOTH)
ADAPTERS = (LORA, DREAMBOOTH)
WORD_RATE = 0.02
IN_ALL_LAYERS = [name for name, way in WAYS.items() if way.layers == ALL]
RATES = dict.fromkeys(WAYS, 0.5) | dict.fromkeys(IN_ALL_LAYERS, 0.15) | {LORA: 0.001, DREAMBOOTH: 0.0003}
"""The best identity of eight tuning individuals, at .95 of the base's alignment or more. Of the ways to edit values,
three were tuned: all layers, the last three, and the last four; their rates are shares of the values' own size."""
LORA_GRID, DREAMBOOTH_GRID = (0.0003, 0.001, 0.003, 0.01), (0.00001, 0.00003, 0.0001, 0.0003, 0.001)
RATE_GRID = dict.fromkeys(WAYS, (0.015, 0.05, 0.15, 0.5)) | {LORA: LORA_GRID, DREAMBOOTH: DREAMBOOTH_GRID}


def learning_of(
    method: str, subject: Subject, rate: float | None = None, steps: int = STEPS, batch_size: int = BATCH_SIZE
) -> Learning:
    """As the proof describes it, at the method's own rate unless given; the base model learns nothing."""
    if method == BASE:
        return Learning(BASE, subject, steps=0, word_rate=0.0, rate=0.0)
    word_rate = WORD_RATE if method in ADAPTERS else 0.0
    return Learning(method, subject, steps, batch_size, word_rate, RATES[method] if rate is None else rate)


def drawing_of(
    method: str,
    subject: Subject = TEMPLATE,
    rate: float | None = None,
    steps: int = STEPS,
    batch_size: int = BATCH_SIZE,
    **how,
) -> Drawing:
    return Drawing((learning_of(method, subject, rate, steps, batch_size),), OPERATING_POINT, **how)
