"""Try one row: is the prompt without the concept unharmed, has the concept an effect, is the plain model unharmed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from builders.core_nodes.inventory import NoSource, Row
from builders.core_nodes.scene import NAMED, PLAIN, branch
from builders.server import Rejected, Server, WorkflowError
from builders.workflows import Workflow

FINE = "works"
ALONE = "does not run alone"
RANDOM = "never draws the same picture twice"
NO_EFFECT = "no effect"
EXPLAINABLE = (ALONE, RANDOM, NO_EFFECT)
"""Outcomes that may have a good reason; every other one but ``FINE`` is a fault."""


@dataclass(frozen=True)
class Outcome:
    """How a row came out, and the host's or our reason."""

    row: Row
    place: str
    outcome: str
    detail: str = ""


class Trial:
    """``Trial(server).of(row)``: one Outcome for every place of the row."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.info = server.get("/object_info")
        self.again = 0

    def of(self, row: Row) -> Iterator[Outcome]:
        try:
            plain = self.plain_picture(row)
        except (NoSource, Rejected, WorkflowError) as reason:
            yield Outcome(row, "alone", ALONE, _sentence(reason))
            return
        for place in row.places:
            yield Outcome(row, place, *self._with_concept(row, place, plain))

    def plain_picture(self, row: Row) -> np.ndarray:
        """Sampled anew at every call, from the same cached model."""
        self.again += 1
        return self._pictures(row, [(row.places[0], PLAIN, None, self.again)])[0]

    def _with_concept(self, row: Row, place: str, plain: np.ndarray) -> tuple[str, str]:
        try:
            unnamed, once, twice = self._pictures(
                row, [(place, PLAIN, 1.0, 0), (place, NAMED, 1.0, 0), (place, NAMED, 2.0, 0)]
            )
            after = self.plain_picture(row)
        except (Rejected, WorkflowError) as fault:
            return "fails with the concept", _sentence(fault)
        if not np.array_equal(after, plain):
            if not np.array_equal(self.plain_picture(row), self.plain_picture(row)):
                return RANDOM, ""
            return "harms the plain model", ""
        if not np.array_equal(unnamed, plain):
            return "harms a prompt without the concept", ""
        if np.array_equal(once, plain) or np.array_equal(twice, once):
            return NO_EFFECT, "" if np.array_equal(once, plain) else "strengths 1 and 2 draw the same picture"
        return FINE, ""

    def _pictures(self, row: Row, wanted: list[tuple]) -> list[np.ndarray]:
        graph = Workflow()
        shown = [
            branch(graph, self.info, row, place, text, strength, again) for place, text, strength, again in wanted
        ]
        result = self.server.run(graph)
        return [self.server.pictures(result, node) for node in shown]


def _sentence(reason: Exception) -> str:
    if isinstance(reason, NoSource):
        return f"needs {reason}"
    return " ".join(str(reason).split())[:300]
