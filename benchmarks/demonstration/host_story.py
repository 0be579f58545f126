"""The demo inside ComfyUI from beginning to end: train, draw, score, and lay out a sheet for each step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from builders.ui_workflows import TRAIN, TWO, USE
from pixelworld.captions import Caption
from sheets import Row, draw_sheet, save_sheet

from .host_studio import BIAS, HostStudio, Wish
from .pages import shots_of
from .scores import identity, leakage, text_alignment
from .studio import PAIRS, STARS, Star

TILE = 192
SWEPT = 3
"""Prompts of the sweep."""


class HostStory:
    """One telling. Sheets and thumbnails go to ``folder``; ``say`` is told what was done."""

    def __init__(self, studio: HostStudio, folder: Path, say: Callable[[str], None]) -> None:
        self.studio, self.plan, self.folder, self.say = studio, studio.plan, folder, say
        self.thumbnails: dict[str, Sequence[np.ndarray]] = {}

    def tell(self) -> dict[str, Any]:
        """Everything, in order; returns the report."""
        seconds = [self.train(star) for star in STARS]
        drawn = [self.draw_alone(star) for star in STARS]
        told = [self.alone(*each) for each in zip(STARS, seconds, drawn, strict=True)]
        report: dict[str, Any] = {"concepts": told, "bias": self.sweep(STARS[0], *drawn[0])}
        report["two_concepts"] = self.queue()
        (self.folder / "thumbnails").mkdir(exist_ok=True)
        for name, pictures in self.thumbnails.items():
            tiled(pictures, columns=3 if len(pictures) == 6 else 2).save(
                self.folder / "thumbnails" / f"{name}.jpg", quality=90
            )
        return report

    def train(self, star: Star) -> float:
        seconds = self.studio.train(star)
        self.say(f"{star.word}: trained in {seconds:.0f} s")
        return seconds

    def draw_alone(self, star: Star) -> tuple[np.ndarray, np.ndarray]:
        """Pictures of the concept and, from the same noise, of its superclass (strength 0)."""
        wishes = wishes_of(star, captions_of(star, self.plan.prompts))
        (taught,) = self.studio.draw([star], wishes)
        (plain,) = self.studio.draw([star], [replace(wish, strength=0.0) for wish in wishes])
        return taught, plain

    def alone(self, star: Star, seconds: float, drawn: tuple[np.ndarray, np.ndarray]) -> dict[str, Any]:
        """What ``drawn`` alone is worth: numbers, and a sheet."""
        captions, (taught, plain) = captions_of(star, self.plan.prompts), drawn
        shots = shots_of(star)
        rows = [Row("learned from", shots), Row("before", list(plain)), Row(star.word, list(taught))]
        explanation = "Drawn by ComfyUI's KSampler. Before: the same prompts and noise at visual strength 0."
        heads = [caption.text(star.word) for caption in captions]
        self.save(star.name, draw_sheet(f"{star.word} in ComfyUI", explanation, heads, rows))
        if star is STARS[0]:
            self.thumbnails |= {TRAIN: [*shots, taught[0]], USE: list(taught[:4])}
        entry = {
            "name": star.name,
            "identity": identity(taught, plain, captions, star.individual),
            "text_alignment": text_alignment(taught, captions),
            "text_alignment_before": text_alignment(plain, captions),
            "training_seconds": round(seconds),
            "file_bytes": self.studio.file_bytes(star),
        }
        self.say(f"{star.word}: identity {entry['identity']:.2f}, {entry['text_alignment']:.0%} of the text")
        return entry

    def sweep(self, star: Star, taught: np.ndarray, plain: np.ndarray) -> list[dict[str, Any]]:
        """Some prompts at every bias: one dial, nothing trained again. The pictures of one bias are there already."""
        captions = captions_of(star, self.plan.prompts[:SWEPT])
        wishes = wishes_of(star, captions)
        by_bias = {
            bias: taught[:SWEPT]
            if bias == BIAS
            else self.studio.draw([star], [replace(wish, bias=bias) for wish in wishes])[0]
            for bias in self.plan.biases
        }
        rows = [
            Row(f"\n{wish.text}", [pictures[index] for pictures in by_bias.values()])
            for index, wish in enumerate(wishes)
        ]
        explanation = "One trained concept; only the gate's bias differs. Low: more of the subject. High: of the text."
        heads = [f"bias {bias:g}" for bias in by_bias]
        self.save("bias", draw_sheet("The bias in ComfyUI", explanation, heads, rows))
        return [
            {
                "bias": bias,
                "identity": identity(pictures, plain[:SWEPT], captions, star.individual),
                "text_alignment": text_alignment(pictures, captions),
            }
            for bias, pictures in by_bias.items()
        ]

    def queue(self) -> dict[str, Any]:
        """Prompts with both concepts in the queue at once, some of them beside the picture without them."""
        words, individuals = [star.word for star in STARS], tuple(star.individual for star in STARS)
        width = len(PAIRS)
        captions = [PAIRS[n % width] for n in range(self.plan.queued)]
        wishes = [Wish(c.text(*words), c.text(), n, compared=n < self.plan.compared) for n, c in enumerate(captions)]
        both, without = self.studio.draw(STARS, wishes)
        rows = [Row("without", list(without))]
        rows += [Row("with both", list(both[start : start + width])) for start in range(0, len(both), width)]
        heads = [wish.text for wish in wishes[:width]]
        explanation = "All prompts queued at once. Without: the noise of the row below, the superclasses for the words."
        self.save("both", draw_sheet("Two concepts in one picture, in ComfyUI", explanation, heads, rows))
        self.thumbnails[TWO] = [*both[:3:2], *without[:3:2]]
        compared = both[: len(without)], without, captions[: len(without)]
        report = {
            "identity": [identity(*compared, individual) for individual in individuals],
            "leakage": leakage(both, individuals),
            "text_alignment": text_alignment(both, captions),
        }
        self.say(f"Both in one picture: {report['leakage']:.0%} of traits on the wrong one.")
        return report

    def save(self, name: str, sheet: Image.Image) -> None:
        save_sheet(sheet, self.folder / f"{name}.png")


def captions_of(star: Star, prompts: Sequence[Caption]) -> list[Caption]:
    """The prompts, of the star's class."""
    return [replace(caption, class_word=star.individual.class_word) for caption in prompts]


def wishes_of(star: Star, captions: Sequence[Caption]) -> list[Wish]:
    return [Wish(caption.text(star.word), caption.text(), seed) for seed, caption in enumerate(captions)]


def tiled(pictures: Sequence[np.ndarray], columns: int) -> Image.Image:
    """Pictures (16, 16, 3) in [0, 1] side by side, as the template browser shows a workflow."""
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * TILE, rows * TILE))
    for number, picture in enumerate(pictures):
        levels = (255 * picture.clip(0, 1)).round().astype(np.uint8)
        tile = Image.fromarray(levels).resize((TILE, TILE), Image.Resampling.NEAREST)
        sheet.paste(tile, (number % columns * TILE, number // columns * TILE))
    return sheet
