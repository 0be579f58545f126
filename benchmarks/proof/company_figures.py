"""Pictures of concepts in company: whose looks are on whom, as a matrix and as a sheet."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from pixelworld.scene import training_pictures
from sheets import Row, draw_sheet, save_sheet

from .company import circles, company_record, group_captions, leakage, learnings_of, neighbours
from .figures import save_plot
from .specs import BASE, DREAMBOOTH, LORA, OURS, TRAINED_KEYS, Drawing, Subject
from .store import Store
from .studies import Variant

IN_COMPANY_FIGURES = (BASE, OURS, TRAINED_KEYS, LORA, DREAMBOOTH)


def group_record(drawing: Drawing, group: Sequence[Subject], count: int, store: Store, positions: bool) -> dict:
    return company_record(learnings_of(drawing, group), drawing.dial, count, store, positions)


def draw_company_figures(
    variants: Sequence[Variant], subjects: Sequence[Subject], count: int, store: Store, folder: Path
) -> None:
    """The matrices of all variants, pairs and threes by ours, and two pairs by every variant."""
    folder.mkdir(parents=True, exist_ok=True)
    save_plot(matrix_plot(variants, subjects, count, store), folder / "proof_leakage.png")
    for variant in (variant for variant in variants if variant.drawing.learning.method == OURS):
        for groups, name in ((neighbours(subjects, 2), "pairs"), (circles(subjects)[::4], "threes")):
            if groups:
                save_sheet(company_sheet(variant.drawing, groups, count, store), folder / f"proof_{name}.png")
    for number, pair in enumerate(neighbours(subjects, 2)[:2]):
        save_sheet(pair_methods_sheet(variants, pair, count, store), folder / f"proof_pair_methods_{number}.png")


def leakage_matrix(drawing: Drawing, subjects: Sequence[Subject], count: int, store: Store) -> np.ndarray:
    """(N, N): on the figure of each row's subject, the share of the column's subject's distinguishing traits.

    The two are alone in the picture. The diagonal is not a number.
    """
    matrix = np.full((len(subjects), len(subjects)), np.nan)
    for a, b in combinations(range(len(subjects)), 2):
        pair = subjects[a], subjects[b]
        rows = group_record(drawing, pair, count, store, positions=False)["rows"]
        matrix[a, b], matrix[b, a] = leakage(rows, 0, pair[1]), leakage(rows, 1, pair[0])
    return matrix


def matrix_plot(variants: Sequence[Variant], subjects: Sequence[Subject], count: int, store: Store):
    """One matrix a variant, on one scale: dark is a trait on the wrong figure."""
    figure, panels = plt.subplots(1, len(variants), figsize=(4.6 * len(variants), 4.8), layout="constrained")
    names = [subject.individual().class_word for subject in subjects]
    for panel, variant in zip(np.atleast_1d(panels), variants, strict=True):
        matrix = leakage_matrix(variant.drawing, subjects, count, store)
        image = panel.imshow(matrix, vmin=0, vmax=0.6, cmap="OrRd")
        panel.set_title(f"{variant.label}: {np.nanmean(matrix):.2f} on average", fontsize=10)
        panel.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
        panel.set_yticks(range(len(names)), names, fontsize=8)
        panel.set_xlabel("shows the looks of this one")
        for (row, column), share in np.ndenumerate(matrix):
            if np.isfinite(share):
                panel.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=7)
    np.atleast_1d(panels)[0].set_ylabel("this one's figure")
    figure.colorbar(image, ax=panels, shrink=0.7, label="share of the differing traits")
    figure.suptitle("Two concepts in one picture: whose looks are on whom (per cent of the traits that differ)")
    return figure


def company_sheet(drawing: Drawing, groups: Sequence[Sequence[Subject]], count: int, store: Store) -> Image.Image:
    """A row a group: a training picture of each, then all together, positions named."""
    rows, number = [], {2: "Two", 3: "Three"}[len(groups[0])]
    for group in groups:
        shots = [training_pictures(subject.individual())[0].pixels for subject in group]
        pictures = group_record(drawing, group, count, store, positions=True)["pictures"][:6].numpy() / 255
        captions = group_captions(group, count, True)
        asked = [caption.text(*"…" * len(group)).removeprefix("a photo of a ") for caption in captions]
        names = [subject.individual().class_word for subject in group]
        notes = [*("training" for _ in shots), *asked[: len(pictures)]]
        rows.append(Row(" and ".join(names), [*shots, *pictures], notes))
    explanation = "A training picture of each, then all of them in one picture. First seed, none chosen."
    return draw_sheet(f"{number} concepts, learned apart, in one picture", explanation, [], rows, side=96)


def pair_methods_sheet(variants: Sequence[Variant], pair: Sequence[Subject], count: int, store: Store) -> Image.Image:
    """One pair by every variant, positions named."""
    shots = [training_pictures(subject.individual())[0].pixels for subject in pair]
    rows = [Row("one training picture\nof each", shots)]
    for variant in variants:
        pictures = group_record(variant.drawing, pair, count, store, positions=True)["pictures"].numpy() / 255
        rows.append(Row("base model\nthe class words" if variant.label == BASE else variant.label, list(pictures[:8])))
    asked = [caption.text("…", "…") for caption in group_captions(pair, count, True)][:8]
    first, second = (subject.individual().class_word for subject in pair)
    explanation = f"A {first} and a {second}, learned apart, named together. Same noise in a column; none chosen."
    return draw_sheet("Two concepts in one picture, every method", explanation, asked, rows, side=96)
