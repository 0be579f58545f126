"""Pictures of a concept beside a companion: how much of its looks the companion takes on, and how that looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from pixelworld.scene import training_pictures
from sheets import Row, draw_sheet, save_sheet

from .companion_tables import companion_points, companion_samples
from .companions import companion_captions, companion_pictures
from .figures import COLOURS, bars, save_plot
from .recipes import OPERATING_POINT
from .specs import BASE, OURS, Drawing, Subject
from .statistics import bootstrap
from .store import Store

Fronts = Mapping[str, Sequence[Drawing]]


def draw_companion_figures(fronts: Fronts, subjects: Sequence[Subject], store: Store, folder: Path) -> None:
    """The fronts of all methods, and the pictures of the first subject."""
    folder.mkdir(parents=True, exist_ok=True)
    complete = {
        method: drawings
        for method, drawings in fronts.items()
        if all(companion_samples(drawing, subjects, store) is not None for drawing in drawings)
    }
    if BASE not in complete:
        return
    save_plot(companion_plot(complete, subjects, store), folder / "proof_companions.png")
    save_sheet(companion_sheet(complete, subjects[0], store), folder / "proof_companions_sheet.png")


def companion_plot(fronts: Fronts, subjects: Sequence[Subject], store: Store):
    """The concept's identity against how much its companion was left alone: one curve a method."""
    figure, axes = plt.subplots(figsize=(7.5, 5.2), layout="constrained")
    base = companion_samples(fronts[BASE][0], subjects, store)
    for method, drawings in fronts.items():
        if method == BASE:
            continue
        samples = np.stack([base, *(companion_samples(drawing, subjects, store) for drawing in drawings)], axis=1)
        y, x = ([bootstrap(samples, _coordinate(number, axis)) for number in range(len(drawings))] for axis in (0, 1))
        axes.errorbar(
            [i.value for i in x], [i.value for i in y], xerr=bars(x), yerr=bars(y), color=COLOURS[method],
            marker="*" if method == OURS else "o", markersize=12 if method == OURS else 5, elinewidth=0.6, capsize=2,
            label=method,
        )  # fmt: skip
    axes.set_xlabel("the other figure left alone: 1 = no more of the concept's traits than chance, 0 = all of them")
    axes.set_ylabel("looks like the individual (0 = class word alone)")
    intervals = f"means over {len(subjects)} individuals, 95 % bootstrap intervals"
    axes.set_title(f"A concept beside a figure of another class; a curve is one dial\n({intervals})", fontsize=10)
    axes.legend(fontsize=8, loc="lower left")
    axes.grid(alpha=0.25)
    return figure


def _coordinate(number: int, axis: int):
    return lambda samples: float(companion_points(samples[:, 0], samples[:, 1:])[number, axis])


def companion_sheet(fronts: Fronts, subject: Subject, store: Store) -> Image.Image:
    """One subject beside every other class, named after it, by every method."""
    captions = companion_captions(subject)
    own = subject.individual().class_word
    shown = [number for number, (caption, _) in enumerate(captions) if caption.class_word == own]
    asked = [captions[number][0].text("…") for number in shown]
    shots = [shot.pixels for shot in training_pictures(subject.individual(), seed=subject.index)]
    rows = [Row("five training pictures", shots)]
    for method, drawings in fronts.items():
        drawing = next((d for d in drawings if d.dial == OPERATING_POINT), drawings[-1])
        pictures = companion_pictures(drawing.of(subject), store)
        label = "base model\nthe class word" if method == BASE else method
        rows.append(Row(label, [pictures[number] for number in shown]))
    explanation = (
        f"Each column is one prompt, … the {own} learned; the other figure is named by its class alone, so nothing but "
        "the method decides how it looks. All methods start from the same noise; first seed, none chosen."
    )
    return draw_sheet("Who else puts on the concept's looks?", explanation, asked, rows, side=96)
