"""The proof's pictures: curves with intervals, and sheets with words on them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402 - the backend is chosen first
import numpy as np  # noqa: E402

from perfusion_ops.files.atomic import write_atomically  # noqa: E402
from pixelworld.scene import training_pictures  # noqa: E402
from sheets import Row, draw_sheet, save_sheet  # noqa: E402

from .drawing import prompts_of  # noqa: E402
from .measures import Measures  # noqa: E402
from .recipes import OPERATING_POINT  # noqa: E402
from .specs import BASE, OURS, Drawing, Subject, result_key  # noqa: E402
from .statistics import Interval  # noqa: E402

Fronts = Mapping[str, Sequence[Drawing]]
COLOURS = {
    BASE: "black", OURS: "crimson", "textual inversion": "tab:orange", "trained keys": "tab:blue",
    "V-residual": "tab:green", "rank-1 LoRA": "tab:purple", "LoRA r8": "tab:brown", "DreamBooth": "tab:gray",
}  # fmt: skip


def draw_figures(measures: Measures, fronts: Fronts, folder: Path) -> None:
    """Every figure whose results are in the store."""
    folder.mkdir(parents=True, exist_ok=True)
    complete = {method: drawings for method, drawings in fronts.items() if all(map(measures.has, drawings))}
    save_plot(front_plot(measures, complete), folder / "proof_front.png")
    if OURS in complete:
        save_plot(bias_plot(measures, complete[OURS]), folder / "proof_bias.png")
        save_sheet(bias_sheet(measures, complete[OURS], Subject(0)), folder / "proof_bias_sheet.png")
    for subject in measures.subjects[:2]:
        save_sheet(method_sheet(measures, complete, subject), folder / f"proof_methods_{subject.index}.png")
    if OURS in complete:
        save_sheet(individuals_sheet(measures, complete[OURS]), folder / "proof_individuals.png")


def save_plot(figure, path: Path) -> None:
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110, bbox_inches="tight")
    plt.close(figure)
    write_atomically(path, data.getvalue())


def front_plot(measures: Measures, fronts: Fronts):
    """Identity against obedience to the text: one curve a method, each point a setting of its dial.

    On the left all there is, on the right the same without the base model, enlarged.
    """
    figure, (whole, close) = plt.subplots(1, 2, figsize=(13, 5.6), layout="constrained")
    for method, drawings in fronts.items():
        points = [measures.point(drawing) for drawing in drawings]
        x, y = [p.relative_alignment for p in points], [p.identity for p in points]
        label = f"{method} (area {measures.area(drawings).value:.2f})"
        for axes in (whole, close) if method != BASE else (whole,):
            draw_curve(axes, method, label, x, y)
    whole.set_ylabel("looks like the individual: 0 = class word alone, 1 = the individual itself")
    whole.legend(loc="lower left", fontsize=8)
    close.set_title("the same, enlarged", fontsize=10)
    for axes in (whole, close):
        axes.axvline(0.95, color="goldenrod", linewidth=0.8, linestyle=":")
        axes.axhline(0.9, color="goldenrod", linewidth=0.8, linestyle=":")
        axes.grid(alpha=0.25)
    whole.axhspan(0.9, 1.05, color="gold", alpha=0.08)
    intervals = f"means over {len(measures.subjects)} individuals, 95 % bootstrap intervals"
    figure.suptitle(f"Up and to the right is better; a curve is one dial being turned ({intervals})", fontsize=10)
    figure.supxlabel("obeys the prompt: share of named attributes drawn right, over the base model's own", fontsize=10)
    return figure


def draw_curve(axes, method: str, label: str, x: Sequence[Interval], y: Sequence[Interval]) -> None:
    """One method's curve with its intervals, in its own colour."""
    axes.errorbar(
        [i.value for i in x], [i.value for i in y], xerr=_bars(x), yerr=_bars(y), color=COLOURS[method],
        marker="*" if method == OURS else "o", markersize=11 if method == OURS else 5, elinewidth=0.6, capsize=2,
        label=label,
    )  # fmt: skip


def _bars(intervals: Sequence[Interval]) -> np.ndarray:
    return np.array([[i.value - i.low for i in intervals], [i.high - i.value for i in intervals]]).clip(0)


def bias_plot(measures: Measures, drawings: Sequence[Drawing]):
    """The gate's bias as the one dial between likeness and obedience."""
    figure, axes = plt.subplots(figsize=(7, 4.5))
    biases, points = [d.dial.bias for d in drawings], [measures.point(d) for d in drawings]
    for label, intervals, colour in (
        ("looks like the individual (identity)", [p.identity for p in points], "crimson"),
        ("obeys the prompt (text alignment / base)", [p.relative_alignment for p in points], "tab:blue"),
    ):
        axes.plot(biases, [i.value for i in intervals], marker="o", color=colour, label=label)
        axes.fill_between(biases, [i.low for i in intervals], [i.high for i in intervals], color=colour, alpha=0.15)
    axes.set_xlabel("gate bias β while drawing (nothing is trained again)")
    axes.set_ylim(-0.05, 1.1)
    axes.set_title("One trained concept, one dial (bands: 95 % over individuals)", fontsize=10)
    axes.legend(fontsize=8)
    axes.grid(alpha=0.25)
    return figure


def pictures_of(measures: Measures, drawing: Drawing) -> np.ndarray:
    """(prompts * seeds, 16, 16, 3) in [0, 1]."""
    return measures.store.tensors("pictures", result_key(drawing))["pictures"].numpy() / 255


def _columns(subject: Subject, count: int) -> list[str]:
    return [caption.text("…") for caption in prompts_of(subject, 20)[:count]]


def training_row(subject: Subject) -> Row:
    shots = training_pictures(subject.individual(), seed=subject.index)
    return Row("five training pictures\nall in one place", [shot.pixels for shot in shots])


def method_label(method: str) -> str:
    return "base model\nthe class word" if method == BASE else method


def recommended(drawings: Sequence[Drawing]) -> Drawing:
    """Of a dial's settings the recommended one, or the last."""
    return next((drawing for drawing in drawings if drawing.dial == OPERATING_POINT), drawings[-1])


def method_sheet(measures: Measures, fronts: Fronts, subject: Subject):
    """One subject, drawn by every method at its recommended setting, for the same prompts and noise."""
    rows = [training_row(subject)]
    for method, drawings in fronts.items():
        rows.append(Row(method_label(method), list(pictures_of(measures, recommended(drawings).of(subject))[:8])))
    name = subject.individual().class_word
    explanation = f"Each column is one prompt, … the {name} learned; all methods start from the same noise."
    return draw_sheet(f"One {name}, eight prompts, every method", explanation, _columns(subject, 8), rows, side=96)


def bias_sheet(measures: Measures, drawings: Sequence[Drawing], subject: Subject):
    rows = [training_row(subject)]
    for drawing in drawings:
        rows.append(Row(f"β = {drawing.dial.bias:g}", list(pictures_of(measures, drawing.of(subject))[:8])))
    explanation = "The same trained concept; a low bias gives more of the individual, a high one more of the prompt."
    return draw_sheet("Turning the gate's bias", explanation, _columns(subject, 8), rows, side=96)


def individuals_sheet(measures: Measures, drawings: Sequence[Drawing]):
    chosen = next(d for d in drawings if d.dial.bias == OPERATING_POINT.bias)
    rows = []
    for subject in measures.subjects:
        individual = subject.individual()
        shot = training_pictures(individual)[0].pixels
        captions = prompts_of(subject, 20)[:7]
        drawn = pictures_of(measures, chosen.of(subject))[:7]
        notes = ["training", *(caption.text("…").removeprefix("a photo of a ") for caption in captions)]
        rows.append(Row(individual.class_word, [shot, *drawn], notes))
    explanation = "First column: one of five training pictures. Then prompts in other places, first seed, none chosen."
    return draw_sheet("Eight individuals, as learned", explanation, [], rows, side=96)
