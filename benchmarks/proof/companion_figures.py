"""Pictures of a concept beside a companion: how much of its looks the companion takes on, and how that looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from sheets import Row, draw_sheet, save_sheet

from .companion_tables import companion_points
from .companions import companion_captions, companion_pictures
from .figures import Fronts, draw_curve, method_label, recommended, save_plot, training_row
from .specs import BASE, Subject
from .statistics import bootstrap
from .store import Store


def draw_companion_figures(
    fronts: Fronts, samples: Mapping[str, np.ndarray], subjects: Sequence[Subject], store: Store, folder: Path
) -> None:
    """The fronts of the methods in ``samples``, and the pictures of the first subject."""
    if BASE not in samples:
        return
    folder.mkdir(parents=True, exist_ok=True)
    save_plot(companion_plot(samples), folder / "proof_companions.png")
    complete = {method: drawings for method, drawings in fronts.items() if method in samples}
    save_sheet(companion_sheet(complete, subjects[0], store), folder / "proof_companions_sheet.png")


def companion_plot(samples: Mapping[str, np.ndarray]):
    """The concept's identity against how much its companion was left alone: one curve a method."""
    figure, axes = plt.subplots(figsize=(7.5, 5.2), layout="constrained")
    for method in (method for method in samples if method != BASE):
        both, count = np.concatenate([samples[BASE], samples[method]], axis=1), samples[method].shape[1]
        y, x = ([bootstrap(both, _coordinate(number, axis)) for number in range(count)] for axis in (0, 1))
        draw_curve(axes, method, method, x, y)
    axes.set_xlabel("the other figure left alone: 1 = no more of the concept's traits than chance, 0 = all of them")
    axes.set_ylabel("looks like the individual (0 = class word alone)")
    intervals = f"means over {len(samples[BASE])} individuals, 95 % bootstrap intervals"
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
    rows = [training_row(subject)]
    for method, drawings in fronts.items():
        pictures = companion_pictures(recommended(drawings).of(subject), store)
        rows.append(Row(method_label(method), [pictures[number] for number in shown]))
    explanation = (
        f"Each column is one prompt, … the {own} learned; the other figure is named by its class alone, so nothing but "
        "the method decides how it looks. All methods start from the same noise; first seed, none chosen."
    )
    return draw_sheet("Who else puts on the concept's looks?", explanation, asked, rows, side=96)
