"""Two charts: the gate at a concept's own word and at the highest other token, over the bias and the temperature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...perfusion_ops.edit.equations import PAPER_INFERENCE_TEMPERATURE
from ...perfusion_ops.edit.gate_table import BIASES, PAPER_BIAS, TEMPERATURES, ConceptGates, GateTable
from .canvas import Canvas
from .fonts import legible, shortened
from .look import EDGE, GREY, INK, PALE, WHITE

CHART_HEIGHT, TITLE, AXIS, POINTS = 250, 40, 58, 120
LINE = 30
SIZE = 17
LEGEND_LABEL = 300
Coloured = Sequence[tuple[ConceptGates, str]]


@dataclass(frozen=True)
class _Dial:
    """One of the gate's two settings: what a chart has along it."""

    title: str
    least: tuple[float, float]
    """The range that is always shown."""
    step: float
    value: Callable[[ConceptGates], float]
    gates: Callable[[ConceptGates, float, Sequence[float]], list[float]]
    paper: Callable[[ConceptGates], tuple[float, float]]


BIAS = _Dial(
    "Gate over the bias",
    BIASES,
    0.2,
    lambda concept: concept.gate.bias,
    lambda concept, similarity, values: concept.over_bias(similarity, values),
    lambda concept: PAPER_BIAS[concept.key_locking.uses_superclass_prompt],
)
TEMPERATURE = _Dial(
    "Gate over the temperature",
    TEMPERATURES,
    0.1,
    lambda concept: concept.gate.temperature,
    lambda concept, similarity, values: concept.over_temperature(similarity, values),
    lambda _concept: (PAPER_INFERENCE_TEMPERATURE - 0.004, PAPER_INFERENCE_TEMPERATURE + 0.004),
)


def curves_height(concepts: int) -> int:
    return TITLE + CHART_HEIGHT + AXIS + LINE * concepts + 8


def draw_curves(canvas: Canvas, table: GateTable, concepts: Coloured, top: int, margin: int) -> None:
    """Both charts side by side from ``top`` on, and below what the lines are."""
    width = (canvas.size[0] - 2 * margin - 60) / 2
    for n, dial in enumerate((BIAS, TEMPERATURE)):
        _Chart(canvas, table, dial, concepts, margin + 34 + n * (width + 60), top + TITLE, width - 34).draw()
    y = top + TITLE + CHART_HEIGHT + AXIS
    keys = ((margin + 34, False, "the concept's own word"), (margin + 300, True, "the highest other token"))
    for left, broken, name in keys:
        (canvas.dashes if broken else canvas.line)([(left, y), (left + 36, y)], GREY, 3)
        canvas.text(left + 46, y, name, SIZE, GREY)
    canvas.box(margin + 574, y - 9, 36, 18, PALE, 3)
    canvas.text(margin + 620, y, "the paper's range", SIZE, GREY)
    for n, (concept, colour) in enumerate(concepts, 1):
        canvas.text(margin + 34, y + LINE * n, _points(table, concept), SIZE, colour)


def _points(table: GateTable, concept: ConceptGates) -> str:
    """The two gates at the current dial, in words."""
    told = []
    for place in (table.own(concept), table.other(concept)):
        if place is not None:
            label = shortened(legible(table.tokens[place].label, f"token #{place}", SIZE), SIZE, LEGEND_LABEL)
            told.append(f"{label} {concept.gates[place]:.2f}")
    gate = concept.gate
    return f"bias {gate.bias:g}, temperature {gate.temperature:g}:   " + "   against   ".join(told)


class _Chart:
    """One chart in a box of ``width`` times ``CHART_HEIGHT`` pixels."""

    def __init__(self, canvas, table, dial: _Dial, concepts: Coloured, left: float, top: float, width: float) -> None:
        self.canvas, self.table, self.dial, self.concepts = canvas, table, dial, concepts
        self.left, self.top, self.width = left, top, width
        values = [dial.value(concept) for concept, _ in concepts]
        self.low, self.high = min(dial.least[0], *values), max(dial.least[1], *values)

    def across(self, value: float) -> float:
        return self.left + (value - self.low) / (self.high - self.low) * self.width

    def up(self, gate: float) -> float:
        return self.top + (1 - gate) * CHART_HEIGHT

    def draw(self) -> None:
        self._ground()
        for concept, colour in self.concepts:
            for place, broken in ((self.table.own(concept), False), (self.table.other(concept), True)):
                if place is not None:
                    self._curve(concept, concept.similarities[place].item(), colour, broken)
        for concept, colour in self.concepts:
            self._dial(concept, colour)

    def _ground(self) -> None:
        self.canvas.text(self.left, self.top - 22, self.dial.title, 20, INK)
        self.canvas.box(self.left, self.top, self.width, CHART_HEIGHT, WHITE)
        for low, high in {self.dial.paper(concept) for concept, _ in self.concepts}:
            self.canvas.box(self.across(low), self.top, self.across(high) - self.across(low), CHART_HEIGHT, PALE)
        for gate in (0, 0.25, 0.5, 0.75, 1):
            ends = [(self.left, self.up(gate)), (self.left + self.width, self.up(gate))]
            self.canvas.line(ends, EDGE, 1.5 if gate in (0, 1) else 0.7)
            if gate in (0, 0.5, 1):
                self.canvas.text(self.left - 8, self.up(gate), f"{gate:g}", SIZE, GREY, "rm")
        first = -int(-self.low / self.dial.step)
        for n in range(first, int(self.high / self.dial.step + 1e-6) + 1):
            value = n * self.dial.step
            if value >= self.low:
                self.canvas.text(self.across(value), self.top + CHART_HEIGHT + 16, f"{value:.1f}", SIZE, GREY, "mm")

    def _curve(self, concept: ConceptGates, similarity: float, colour: str, broken: bool) -> None:
        values = [self.low + (self.high - self.low) * n / POINTS for n in range(POINTS + 1)]
        gates = self.dial.gates(concept, similarity, values)
        points = [(self.across(value), self.up(gate)) for value, gate in zip(values, gates, strict=True)]
        if broken:
            self.canvas.dashes(points, colour, 2.2)
        else:
            self.canvas.line(points, colour, 3)

    def _dial(self, concept: ConceptGates, colour: str) -> None:
        """The current setting: an upright line, and a dot on each curve."""
        value = self.dial.value(concept)
        x = self.across(value)
        self.canvas.dashes([(x, self.top), (x, self.top + CHART_HEIGHT)], colour, 1.3, 4)
        for place in (self.table.own(concept), self.table.other(concept)):
            if place is not None:
                gate = self.dial.gates(concept, concept.similarities[place].item(), [value])[0]
                self.canvas.dot(x, self.up(gate), 6.5, colour, WHITE)
