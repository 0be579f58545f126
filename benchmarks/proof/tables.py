"""The proof's tables as rows for ``report.markdown_table``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .company import company_record, harm, leakage, learnings_of
from .measures import Measures, mean_points
from .recipes import OPERATING_POINT, dials_of, drawing_of, learning_of
from .specs import BASE, OURS, PERFUSION, TRAINED_KEYS, Drawing, Subject, result_key
from .statistics import area_under_front, bootstrap, judged, mean_interval, verdict
from .store import Store
from .studies import TEMPLATE, Sign, Variant

Row = dict[str, Any]
NAMED = {False: "", True: ", positions named"}


def front_drawings(method: str, seeds: int, operating_seeds: int) -> list[Drawing]:
    return [
        drawing_of(
            method, TEMPLATE, dial, operating_seeds if dial == OPERATING_POINT and method in (BASE, OURS) else seeds
        )
        for dial in dials_of(method)
    ]


def variant_rows(measures: Measures, variants: Sequence[Variant]) -> list[Row]:
    """Identity, alignment and what goes wrong, of each variant that has been drawn for all individuals."""
    rows = []
    for variant in variants:
        if not measures.has(variant.drawing):
            continue
        point = measures.point(variant.drawing)
        rows.append(
            {
                "variant": variant.label,
                "identity": str(point.identity),
                "text alignment": str(point.alignment),
                "relative to base": str(point.relative_alignment),
                "training place drawn": str(point.copied),
            }
        )
    return rows


def dial_label(method: str, drawing: Drawing) -> str:
    return f"β {drawing.dial.bias:g}" if method in PERFUSION else f"strength {drawing.dial.strength:g}"


def front_rows(measures: Measures, fronts: Mapping[str, Sequence[Drawing]]) -> list[Row]:
    """One row a method: the area under its front, and its best point by identity times alignment."""
    rows = []
    for method, drawings in fronts.items():
        if not all(measures.has(drawing) for drawing in drawings):
            continue
        points = mean_points(measures.stacked(drawings))
        best = drawings[int(np.argmax(points.clip(0, 1).prod(1)))]
        point = measures.point(best)
        rows.append(
            {
                "method": method,
                "KB (fp16)": learned_kilobytes(measures, method),
                "core-s to learn": learned_seconds(measures, method),
                "area under front": str(measures.area(drawings)),
                "best point": "-" if method == BASE else dial_label(method, best),
                "identity": str(point.identity),
                "alignment / base": str(point.relative_alignment),
                "training place drawn": f"{point.copied.value:.3f}",
                "nearest training picture": f"{point.nearest.value:.3f}",
                "diversity over seeds / base": f"{point.diversity.value:.2f}" if best.seeds > 1 else "-",
            }
        )
    return rows


def _learning_records(measures: Measures, method: str) -> list[Row]:
    learnings = [learning_of(method, subject) for subject in measures.subjects]
    return [measures.store.record("learning", result_key(learning)) for learning in learnings]


def learned_kilobytes(measures: Measures, method: str) -> float:
    return round(float(np.mean([record["bytes_fp16"] for record in _learning_records(measures, method)])) / 1000, 1)


def learned_seconds(measures: Measures, method: str) -> float:
    return round(float(np.mean([record["core_seconds"] for record in _learning_records(measures, method)])), 1)


def area_gaps(measures: Measures, fronts: Mapping[str, Sequence[Drawing]]) -> list[Row]:
    """Ours against every baseline, paired by individual."""
    rows, ours = [], fronts[OURS]
    for method, drawings in fronts.items():
        if method in (OURS, BASE) or not all(measures.has(drawing) for drawing in [*ours, *drawings]):
            continue
        both = measures.stacked([*ours, *drawings])

        def gap(samples: np.ndarray, count: int = len(ours)) -> float:
            first, second = mean_points(samples[:, :count]), mean_points(samples[:, count:])
            return area_under_front(first) - area_under_front(second)

        interval = bootstrap(both, gap)
        rows.append({"ours minus": method, "area": str(interval), "verdict": verdict(interval)})
    return rows


def sign_rows(measures: Measures, signs: Sequence[Sign], fronts: Mapping[str, Sequence[Drawing]]) -> list[Row]:
    """The verdict on each claim, and what the two sides differ by in identity and in alignment."""
    rows = []
    for sign in signs:
        if not (measures.has(sign.better) and measures.has(sign.other)):
            continue
        if sign.measure == "alignment at equal identity":
            sides = fronts[OURS], fronts[TRAINED_KEYS]
            if not all(measures.has(drawing) for side in sides for drawing in side):
                continue
            interval = measures.difference_at_equal_identity(*sides)
        else:
            interval = measures.difference(sign.better, sign.other, sign.measure)
        rows.append(
            {
                "sign": f"({sign.letter}) {sign.claim}",
                "measure": sign.measure,
                "difference": str(interval),
                "verdict": verdict(interval, sign.largest),
                "in identity": str(measures.difference(sign.better, sign.other, "identity")),
                "in alignment": str(measures.difference(sign.better, sign.other, "alignment")),
            }
        )
    return rows


def leakage_rows(
    variants: Sequence[Variant], groups: Sequence[Sequence[Subject]], count: int, store: Store, positions: bool
) -> list[Row]:
    """One row a variant; the subjects of a group are drawn together, ``positions`` named or not.

    Intervals are over subjects, each with the mean of all groups it is in.
    """
    rows = []
    for variant in variants:
        numbers = company_numbers(variant.drawing, groups, count, store, positions)
        found, identity, leaks = (mean_interval(column[np.isfinite(column)]) for column in numbers.T)
        rows.append(
            {
                "method": variant.label,
                "concepts": len(groups[0]),
                "groups": len(groups),
                "figures found": str(found),
                "raw identity": str(identity),
                "leakage": str(leaks),
            }
        )
    return rows


def company_gap_row(
    ours: Drawing, other: Drawing, groups: Sequence[Sequence[Subject]], count: int, store: Store, positions: bool
) -> Row:
    """``ours`` minus ``other`` in company, paired by subject; of leakage, less is better."""
    both = [company_numbers(drawing, groups, count, store, positions) for drawing in (ours, other)]
    row = {
        "concepts": f"{len(groups[0])}{NAMED[positions]}",
        "ours minus": other.learning.method,
    }
    for name, gaps in zip(("figures found", "raw identity", "leakage"), (both[0] - both[1]).T, strict=True):
        row[name] = judged(gaps[np.isfinite(gaps)], less_is_better=name == "leakage")
    return row


def company_numbers(
    drawing: Drawing, groups: Sequence[Sequence[Subject]], count: int, store: Store, positions: bool
) -> np.ndarray:
    """(subjects, 3): share of its figures found, their identity, and the others' traits on them."""
    numbers: dict[Subject, list] = {subject: [] for group in groups for subject in group}
    for group in groups:
        rows = company_record(learnings_of(drawing, group), drawing.dial, count, store, positions)["rows"]
        for own, subject in enumerate(group):
            there = [row[own]["identity"] for row in rows if row[own]]
            leaks = [leakage(rows, own, other) for other in group if other != subject]
            numbers[subject].append([len(there) / len(rows), mean_of(there), mean_of(leaks)])
    return np.array([[mean_of(column) for column in zip(*entries, strict=True)] for entries in numbers.values()])


def mean_of(values: Iterable[float]) -> float:
    """Of those that are numbers; not a number if none is."""
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def harm_rows(methods: Sequence[str], subjects: Sequence[Subject], count: int, store: Store) -> list[Row]:
    rows = []
    for method in methods:
        records = [harm(method, subject, count, store) for subject in subjects]
        rows.append(
            {
                "method": method,
                "largest pixel difference": max(record["largest"] for record in records),
                "mean pixel difference": float(np.mean([record["mean"] for record in records])),
            }
        )
    return rows
