"""From records to numbers: one row per individual, then means with intervals over individuals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch

from pixelworld.captions import sample_scene
from pixelworld.reader import identity_score
from pixelworld.scene import render
from pixelworld.world import as_batch

from .drawing import prompts_of
from .recipes import drawing_of
from .scoring import scaled_identity
from .specs import BASE, Drawing, Subject, result_key
from .statistics import Interval, area_under_front, bootstrap, value_at
from .store import Store

COLUMNS = ("identity", "right", "base right", "copied", "base copied", "nearest", "class", "diversity")


@dataclass(frozen=True)
class Point:
    """One variant's means with their intervals."""

    identity: Interval
    alignment: Interval
    relative_alignment: Interval
    copied: Interval
    nearest: Interval
    diversity: Interval


@cache
def ceiling(subject: Subject, prompts: int) -> float:
    """The reader's identity on rendered pictures of the subject's own prompts."""
    rng = np.random.RandomState(subject.index)
    individual = subject.individual()
    pictures = []
    for caption in prompts_of(subject, prompts):
        scene = sample_scene(caption, rng)
        pictures.append(render(replace(scene, figures=(replace(scene.figures[0], traits=individual.traits),))))
    return float(torch.mean(identity_score(as_batch(pictures), individual)))


def base_drawing(subject: Subject, seeds: int) -> Drawing:
    return drawing_of(BASE, subject, seeds=seeds)


class Measures:
    """Reads what the store holds. ``base_seeds`` is how many seeds the base model's pictures were drawn with."""

    def __init__(self, store: Store, subjects: Sequence[Subject], base_seeds: int) -> None:
        self.store, self.subjects, self.base_seeds = store, tuple(subjects), base_seeds

    def has(self, drawing: Drawing) -> bool:
        return all(self.store.record("drawing", result_key(drawing.of(s))) for s in self.subjects)

    def samples(self, drawing: Drawing) -> np.ndarray:
        """(individuals, len(COLUMNS)); the base model's columns are of the same prompts and noise."""
        return np.array([self._sample(drawing.of(subject)) for subject in self.subjects])

    def _sample(self, drawing: Drawing) -> list[float]:
        subject = drawing.learning.subject
        record = self.store.record("drawing", result_key(drawing))
        base = self.store.record("drawing", result_key(base_drawing(subject, self.base_seeds)))
        rows, base_rows = record["rows"], base["rows"]
        same = base_rows[: len(rows)]
        floor = float(np.mean([row["identity"] for row in base_rows]))
        raw = float(np.mean([row["identity"] for row in rows]))
        return [
            scaled_identity(raw, floor, ceiling(subject, drawing.prompts)),
            share_right(rows),
            share_right(same),
            float(np.mean([row["copied"] for row in rows])),
            float(np.mean([row["copied"] for row in same])),
            float(np.mean([row["nearest"] for row in rows])),
            float(np.mean([row["class"] for row in rows])),
            float(np.mean(record["diversity"])) / (float(np.mean(base["diversity"])) or 1.0),
        ]

    def point(self, drawing: Drawing) -> Point:
        samples = self.samples(drawing)

        def mean(column: str) -> Interval:
            return bootstrap(samples, lambda s: float(s[:, COLUMNS.index(column)].mean()))

        return Point(
            mean("identity"), mean("right"), bootstrap(samples, relative_alignment), mean("copied"), mean("nearest"),
            mean("diversity"),
        )  # fmt: skip

    def area(self, drawings: Sequence[Drawing]) -> Interval:
        """Area under the front of the means through ``drawings``, relative alignment by identity."""
        return bootstrap(self.stacked(drawings), lambda samples: area_under_front(mean_points(samples)))

    def stacked(self, drawings: Sequence[Drawing]) -> np.ndarray:
        """(individuals, drawings, len(COLUMNS))."""
        return np.stack([self.samples(drawing) for drawing in drawings], axis=1)

    def difference(self, better: Drawing, other: Drawing, measure: str) -> Interval:
        """``better`` minus ``other``, individual by individual."""
        statistic = {"identity": mean_identity, "alignment": relative_alignment, "product": product}[measure]
        both = self.stacked([better, other])
        return bootstrap(both, lambda samples: statistic(samples[:, 0]) - statistic(samples[:, 1]))

    def difference_at_equal_identity(self, better: Sequence[Drawing], other: Sequence[Drawing]) -> Interval:
        """Relative alignment on the front through ``better`` minus that through ``other``, at the highest identity
        that the means of both reach."""
        both = self.stacked([*better, *other])
        count = len(better)

        def gap(samples: np.ndarray) -> float:
            first, second = mean_points(samples[:, :count]), mean_points(samples[:, count:])
            identity = min(first[:, 0].max(), second[:, 0].max())
            return value_at(first, identity) - value_at(second, identity)

        return bootstrap(both, gap)


def share_right(rows: Sequence[dict]) -> float:
    """Share of all named attributes that came out right."""
    named = [right for row in rows for right in row["right"].values()]
    return float(np.mean(named))


def relative_alignment(samples: np.ndarray) -> float:
    """Text alignment over the base model's own (individuals, columns)."""
    return float(samples[:, COLUMNS.index("right")].mean() / samples[:, COLUMNS.index("base right")].mean())


def mean_identity(samples: np.ndarray) -> float:
    return float(samples[:, COLUMNS.index("identity")].mean())


def product(samples: np.ndarray) -> float:
    """Identity times relative alignment: the area that one point dominates."""
    return mean_identity(samples) * relative_alignment(samples)


def mean_points(samples: np.ndarray) -> np.ndarray:
    """(individuals, drawings, columns) -> (identity, relative alignment) of each drawing (drawings, 2)."""
    return np.array([[mean_identity(part), relative_alignment(part)] for part in np.moveaxis(samples, 1, 0)])
