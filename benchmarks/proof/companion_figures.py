"""Pictures of a concept beside a companion: how much of its looks the companion takes on, and how that looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from PIL import Image

from pixelworld.scene import training_pictures
from sheets import Row, draw_sheet, save_sheet

from .companions import COLUMNS, LESS_IS_BETTER, companion_captions, companion_pictures, companion_samples
from .figures import COLOURS, bars, save_plot
from .specs import BASE, OURS, Drawing, Subject
from .statistics import mean_interval
from .store import Store

Drawings = Mapping[str, Drawing]


def draw_companion_figures(drawings: Drawings, subjects: Sequence[Subject], store: Store, folder: Path) -> None:
    """The plot of all methods, and the pictures of the first subject."""
    folder.mkdir(parents=True, exist_ok=True)
    complete = {
        m: drawing for m, drawing in drawings.items() if companion_samples(drawing, subjects, store) is not None
    }
    save_plot(companion_plot(complete, subjects, store), folder / "proof_companions.png")
    save_sheet(companion_sheet(complete, subjects[0], store), folder / "proof_companions_sheet.png")


def companion_plot(drawings: Drawings, subjects: Sequence[Subject], store: Store):
    """The concept's identity against what its companion took on of it."""
    figure, axes = plt.subplots(figsize=(7.5, 5.2), layout="constrained")
    for method, drawing in drawings.items():
        samples = companion_samples(drawing, subjects, store)
        x, y = (mean_interval(samples[:, COLUMNS.index(name)]) for name in (LESS_IS_BETTER, "raw identity"))
        if method == BASE:
            axes.axvline(x.value, color="black", linewidth=0.8, linestyle=":", label="chance: no concept at all")
            continue
        ours = method == OURS
        axes.errorbar(
            x.value, y.value, xerr=bars([x]), yerr=bars([y]), color=COLOURS[method], marker="*" if ours else "o",
            markersize=14 if ours else 6, elinewidth=0.8, capsize=2, linestyle="none", label=method,
        )  # fmt: skip
    axes.set_xlabel("share of the concept's traits that a figure of another class took on (left is better)")
    axes.set_ylabel("the concept's own identity (up is better)")
    axes.set_title(
        f"One concept beside a figure it has nothing to do with ({len(subjects)} individuals, 95 %)", fontsize=10
    )
    axes.legend(fontsize=8, loc="lower left")
    axes.grid(alpha=0.25)
    return figure


def companion_sheet(drawings: Drawings, subject: Subject, store: Store) -> Image.Image:
    """One subject beside every other class, named after it, by every method."""
    captions = companion_captions(subject)
    own = subject.individual().class_word
    shown = [number for number, (caption, _) in enumerate(captions) if caption.class_word == own]
    asked = [captions[number][0].text("…") for number in shown]
    shots = [shot.pixels for shot in training_pictures(subject.individual(), seed=subject.index)]
    rows = [Row("five training pictures", shots)]
    for method, drawing in drawings.items():
        pictures = companion_pictures(drawing.of(subject), store)
        label = "base model\nthe class word" if method == BASE else method
        rows.append(Row(label, [pictures[number] for number in shown]))
    explanation = (
        f"Each column is one prompt, … the {own} learned; the other figure is named by its class alone, so nothing but "
        "the method decides how it looks. All methods start from the same noise; first seed, none chosen."
    )
    return draw_sheet("Who else puts on the concept's looks?", explanation, asked, rows, side=96)
