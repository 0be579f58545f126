"""What a concept does to its companions, in numbers: tables, and the area under the front in their company."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .companions import COLUMNS, companion_record
from .specs import BASE, OURS, Drawing, Subject
from .statistics import area_under_front, bootstrap, judged, mean_interval, verdict
from .store import Store

IDENTITY, TAKEN = COLUMNS.index("raw identity"), COLUMNS.index("concept's traits on the companion")
Row = dict[str, str]


def companion_samples(drawing: Drawing, subjects: Sequence[Subject], store: Store) -> np.ndarray | None:
    """Means over each subject's pictures (subjects, COLUMNS); none if any is not in the store."""
    records = [companion_record(drawing.of(subject), store) for subject in subjects]
    if not all(records):
        return None
    return np.array([np.nanmean(np.array(record["rows"], float), axis=0) for record in records])


def companion_rows(drawings: Mapping[str, Drawing], subjects: Sequence[Subject], store: Store) -> list[Row]:
    """A row for each method."""
    samples = {method: companion_samples(drawing, subjects, store) for method, drawing in drawings.items()}
    return [
        {"method": method} | {name: str(mean_interval(column)) for name, column in zip(COLUMNS, values.T, strict=True)}
        for method, values in samples.items()
        if values is not None
    ]


def companion_gaps(
    pairs: Mapping[str, tuple[Drawing, Drawing]], subjects: Sequence[Subject], store: Store, heading: str
) -> list[Row]:
    """Of each pair, the first minus the second, paired by subject, with the verdict on the first being better."""
    rows = []
    for label, pair in pairs.items():
        better, other = (companion_samples(drawing, subjects, store) for drawing in pair)
        if better is None or other is None:
            continue
        row = {heading: label}
        for name, column in zip(COLUMNS, (better - other).T, strict=True):
            row[name] = judged(column, less_is_better=name == COLUMNS[TAKEN])
        rows.append(row)
    return rows


def companion_points(base: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """(individuals, COLUMNS) and (individuals, drawings, COLUMNS) -> (identity, companion left alone) (drawings, 2).

    Both are 0 and 1 as elsewhere: identity 0 for the class word alone; a companion left alone, 1, has no more of the
    concept's traits than chance gives, and at 0 all of them.
    """
    chance, means = base.mean(0), samples.mean(0)
    identity = (means[:, IDENTITY] - chance[IDENTITY]) / (1 - chance[IDENTITY])
    taken = (means[:, TAKEN] - chance[TAKEN]) / (1 - chance[TAKEN])
    return np.stack([identity, 1 - taken], axis=1)


def front_samples(
    fronts: Mapping[str, Sequence[Drawing]], subjects: Sequence[Subject], store: Store
) -> dict[str, np.ndarray]:
    """Samples (subjects, drawings, COLUMNS) of the methods that the store has all of."""
    samples = {m: [companion_samples(drawing, subjects, store) for drawing in front] for m, front in fronts.items()}
    return {m: np.stack(parts, axis=1) for m, parts in samples.items() if all(part is not None for part in parts)}


def companion_area(samples: np.ndarray) -> float:
    """The area under the front through samples (individuals, 1 + drawings, COLUMNS), the base model's first."""
    return area_under_front(companion_points(samples[:, 0], samples[:, 1:]))


def companion_areas(samples: Mapping[str, np.ndarray]) -> list[Row]:
    """The area under each method's front beside companions, and ours minus it, paired by subject."""
    rows: list[Row] = []
    if not {BASE, OURS} <= set(samples):
        return rows
    ours = np.concatenate([samples[BASE], samples[OURS]], axis=1)
    count = ours.shape[1]

    def gap(both: np.ndarray) -> float:
        return companion_area(both[:, :count]) - companion_area(both[:, count:])

    for method in (method for method in samples if method != BASE):
        other = np.concatenate([samples[BASE], samples[method]], axis=1)
        row = {"method": method, "area": str(bootstrap(other, companion_area)), "ours minus it": "-"}
        if method != OURS:
            interval = bootstrap(np.concatenate([ours, other], axis=1), gap)
            row["ours minus it"] = f"{interval} {verdict(interval)}"
        rows.append(row)
    return rows
