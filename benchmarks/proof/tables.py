"""From records to numbers, a row an individual, and from numbers to tables: means with intervals, and differences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from pixelworld.reader import identity_score
from pixelworld.world import as_batch

from .reading import rendered, scaled_identity
from .recipes import drawing_of
from .scenes import prompts_of
from .specs import ALONE, BASE, BESIDE, OURS, PLACED, TOGETHER, Drawing, Subject
from .statistics import Interval, area_under_front, bootstrap, judged, mean_interval, value_at, verdict
from .studies import Sign
from .work import Store, drawn

Row = dict[str, Any]
Points = Callable[[np.ndarray], np.ndarray]
ALONE_COLUMNS = ("identity", "right", "base right", "training place drawn")
BESIDE_COLUMNS = ("raw identity", "other figure where named", "place right", "concept's traits on it")
GROUP_COLUMNS = ("figures found", "raw identity", "leakage")
LESS_IS_BETTER = ("concept's traits on it", "leakage")
IDENTITY, TAKEN = 0, 3


@cache
def ceiling(subject: Subject, prompts: int) -> float:
    """The reader's identity on rendered pictures of the subject's own prompts."""
    rng, individual = np.random.RandomState(subject.index), subject.individual()
    pictures = [rendered(caption, individual, rng) for caption in prompts_of(subject, prompts)]
    return float(identity_score(as_batch(pictures), individual).mean())


class Samples:
    """What the store holds of some individuals, as numbers (individuals, columns)."""

    def __init__(self, store: Store, subjects: Sequence[Subject], seeds: int, pictures: slice = slice(None)) -> None:
        """``pictures``: which of those drawn alone count."""
        self.store, self.subjects, self.seeds, self.pictures = store, tuple(subjects), seeds, pictures

    def alone(self, drawing: Drawing) -> np.ndarray:
        """ALONE_COLUMNS; the base model's are of the same prompts and noise."""
        return np.array([self._alone(drawing.of(subject), subject) for subject in self.subjects])

    def _alone(self, drawing: Drawing, subject: Subject) -> list[float]:
        both = (drawing, drawing_of(BASE, subject, self.seeds))
        rows, base = (drawn(each, self.store)[self.pictures] for each in both)
        raw, floor = (mean_of(row["identity"] for row in each) for each in (rows, base))
        right = [mean_of(r for row in part for r in row["right"].values()) for part in (rows, base[: len(rows)])]
        copied = mean_of(row["copied"] for row in rows)
        return [scaled_identity(raw, floor, ceiling(subject, drawing.prompts)), *right, copied]

    def beside(self, drawing: Drawing) -> np.ndarray:
        """BESIDE_COLUMNS, means over each subject's pictures."""
        drawings = [replace(drawing.of(subject), scene=BESIDE) for subject in self.subjects]
        return np.array([np.nanmean(np.array(drawn(each, self.store), float), axis=0) for each in drawings])

    def stacked(self, drawings: Iterable[Drawing], scene: str) -> np.ndarray:
        """(individuals, drawings, columns); beside others, the base model comes first."""
        drawings = [*drawings]
        if scene == BESIDE:
            drawings.insert(0, drawing_of(BASE, seeds=self.seeds))
        return np.stack([(self.beside if scene == BESIDE else self.alone)(drawing) for drawing in drawings], axis=1)


def grouped(drawing: Drawing, groups: Sequence[Sequence[Subject]], count: int, positions: bool) -> list[Drawing]:
    """The subjects of each group in one picture, ``count`` of them."""
    how = {"scene": PLACED if positions else TOGETHER, "prompts": count, "seeds": 1}
    return [replace(drawing.of(*group), **how) for group in groups]


def group_samples(drawings: Sequence[Drawing], store: Store) -> np.ndarray:
    """GROUP_COLUMNS of each subject, the means of all groups it is in."""
    numbers: dict[Subject, list] = {subject: [] for drawing in drawings for subject in drawing.subjects}
    for drawing in drawings:
        rows = drawn(drawing, store)
        for own, subject in enumerate(drawing.subjects):
            there = [row[own] for row in rows if row[own]]
            leaks = leaked(there, [other for other in drawing.subjects if other != subject])
            numbers[subject].append([len(there) / len(rows), mean_of(f["identity"] for f in there), leaks])
    return np.array([[mean_of(column) for column in zip(*entries, strict=True)] for entries in numbers.values()])


def leaked(figures: Sequence[Mapping[str, Any]], others: Sequence[Subject]) -> float:
    """The share of the others' traits that a subject's figures show, of those in which they differ."""
    return mean_of(mean_of(x for figure in figures for x in figure["leaks"][str(other.index)]) for other in others)


def control_drawings(drawings: Iterable[Drawing]) -> list[Drawing]:
    """Each group once for each of its subjects, with no other learned: what looks like a leak there is none."""
    return [drawing.only(subject) for drawing in drawings for subject in drawing.subjects]


def control_samples(drawings: Sequence[Drawing], store: Store) -> np.ndarray:
    """Leakage that each subject's own misdrawn traits make up (individuals,), in the order of ``group_samples``."""
    leaks: dict[Subject, list[float]] = {subject: [] for drawing in drawings for subject in drawing.subjects}
    for drawing in drawings:
        for own, subject in enumerate(drawing.subjects):
            there = [row[own] for row in drawn(drawing.only(subject), store) if row[own]]
            leaks[subject].append(leaked(there, [other for other in drawing.subjects if other != subject]))
    return np.array([mean_of(each) for each in leaks.values()])


def mean_of(values: Iterable[float]) -> float:
    """Of those that are numbers; not a number if none is."""
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def relative_alignment(samples: np.ndarray) -> float:
    """Text alignment over the base model's own (individuals, ALONE_COLUMNS)."""
    return float(samples[:, 1].mean() / samples[:, 2].mean())


def identity(samples: np.ndarray) -> float:
    return float(samples[:, IDENTITY].mean())


STATISTICS = {
    "identity": identity,
    "alignment": relative_alignment,
    "product": lambda samples: identity(samples) * relative_alignment(samples),
}


def alone_row(samples: np.ndarray) -> Row:
    return {
        "identity": str(mean_interval(samples[:, IDENTITY])),
        "alignment / base": str(bootstrap(samples, relative_alignment)),
    }


def means(columns: Sequence[str], samples: np.ndarray) -> Row:
    return {name: str(mean_interval(column)) for name, column in zip(columns, samples.T, strict=True)}


def gaps(columns: Sequence[str], better: np.ndarray, other: np.ndarray) -> Row:
    """The first minus the second, paired by individual, with the verdict on the first being better."""
    differences = zip(columns, (better - other).T, strict=True)
    return {name: judged(column, less_is_better=name in LESS_IS_BETTER) for name, column in differences}


def alone_points(samples: np.ndarray) -> np.ndarray:
    """(individuals, drawings, ALONE_COLUMNS) -> (identity, relative alignment) of each drawing (drawings, 2)."""
    return np.array([[identity(part), relative_alignment(part)] for part in np.moveaxis(samples, 1, 0)])


def beside_points(samples: np.ndarray) -> np.ndarray:
    """(individuals, 1 + drawings, BESIDE_COLUMNS), the base model first -> (identity, other left alone) (drawings, 2).

    Both are 0 and 1 as elsewhere: identity 0 for the superclass; a figure left alone, 1, has no more of the
    concept's traits than chance gives, and at 0 all of them.
    """
    chance, *drawings = samples.mean(0)
    points = (np.array(drawings) - chance) / (1 - chance)
    return np.stack([points[:, IDENTITY], 1 - points[:, TAKEN]], axis=1)


def area_rows(fronts: Mapping[str, np.ndarray], points: Points) -> list[Row]:
    """The area under each method's front, and ours minus it, paired by individual."""

    def area(samples: np.ndarray) -> float:
        return area_under_front(points(samples))

    rows = []
    for method, samples in fronts.items():
        row = {"method": method, "area under the front": str(bootstrap(samples, area)), "ours minus it": "-"}
        if method not in (OURS, BASE) and OURS in fronts:
            interval = gap(fronts[OURS], samples, area)
            row["ours minus it"] = f"{interval} {verdict(interval)}"
        rows.append(row)
    return rows


def gap(better: np.ndarray, other: np.ndarray, statistic: Callable[[np.ndarray], float]) -> Interval:
    """Of a statistic of samples (individuals, drawings, columns), paired by individual."""
    both, count = np.concatenate([better, other], axis=1), better.shape[1]
    return bootstrap(both, lambda samples: statistic(samples[:, :count]) - statistic(samples[:, count:]))


def gap_at_equal_identity(better: np.ndarray, other: np.ndarray) -> Interval:
    """Relative alignment on one front minus that on the other, at the highest identity that the means of both reach."""
    both, count = np.concatenate([better, other], axis=1), better.shape[1]

    def difference(samples: np.ndarray) -> float:
        first, second = alone_points(samples[:, :count]), alone_points(samples[:, count:])
        reached = min(first[:, 0].max(), second[:, 0].max())
        return value_at(first, reached) - value_at(second, reached)

    return bootstrap(both, difference)


def sign_row(sign: Sign, samples: Samples, fronts: Sequence[Sequence[Drawing]]) -> Row:
    """The verdict on a claim, and what its two sides differ by in identity and in alignment."""
    sides = [samples.stacked([side], ALONE) for side in (sign.better, sign.other)]
    found = {name: gap(*sides, lambda s, of=of: of(s[:, 0])) for name, of in STATISTICS.items()}
    if sign.measure not in found:
        found[sign.measure] = gap_at_equal_identity(*(samples.stacked(front, ALONE) for front in fronts))
    difference = found[sign.measure]
    row = {"sign": sign.claim, "measure": sign.measure, "difference": str(difference)}
    row["verdict"] = verdict(difference, sign.largest)
    return row | {f"in {name}": str(found[name]) for name in ("identity", "alignment")}
