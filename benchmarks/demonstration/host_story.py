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
from pixelworld.sheets import Row, draw_sheet, enlarged, save_sheet

from .host_studio import BIAS, HostStudio, Wish
from .pages import heads, shots_of
from .scores import identity, leakage, text_alignment
from .studio import PAIRS, STARS, Star

TILE = 192
SWEPT = 3
"""Prompts of the sweep."""


class HostStory:
    """One telling. Sheets and thumbnails go to ``folder``; ``say`` is told what was done."""

    def __init__(self, studio: HostStudio, folder: Path, say: Callable[[str], None]) -> None:
        self.studio, self.plan, self.folder, self.say = studio, studio.plan, folder, say

    def tell(self) -> dict[str, Any]:
        """Everything, in order; returns the report."""
        seconds = [self.train(star) for star in STARS]
        drawn = [self.draw_alone(star) for star in STARS]
        told = [self.alone(*each) for each in zip(STARS, seconds, drawn, strict=True)]
        return {"concepts": told, "bias": self.sweep(STARS[0], *drawn[0]), "two_concepts": self.queue()}

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
        captions, (taught, plain), shots = captions_of(star, self.plan.prompts), drawn, shots_of(star)
        rows = [Row("learned from", shots), Row("before", list(plain)), Row(star.word, list(taught))]
        explanation = "Drawn by ComfyUI's KSampler. Before: the same prompts and noise at visual strength 0."
        self.save(star.name, f"{star.word} in ComfyUI", explanation, heads(captions, star.word), rows)
        if star is STARS[0]:
            self.save_thumbnail(TRAIN, [*shots, taught[0]])
            self.save_thumbnail(USE, taught[:4])
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
        wishes, by_bias = wishes_of(star, captions), {}
        for bias in self.plan.biases:
            turned = [replace(wish, bias=bias) for wish in wishes]
            by_bias[bias] = taught[:SWEPT] if bias == BIAS else self.studio.draw([star], turned)[0]
        rows = [
            Row(f"\n{wish.text}", [pictures[index] for pictures in by_bias.values()])
            for index, wish in enumerate(wishes)
        ]
        explanation = "One trained concept; only the gate's bias differs. Low: more of the subject. High: of the text."
        self.save("bias", "The bias in ComfyUI", explanation, [f"bias {bias:g}" for bias in by_bias], rows)
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
        words, individuals, width = [star.word for star in STARS], [star.individual for star in STARS], len(PAIRS)
        captions = [PAIRS[n % width] for n in range(self.plan.queued)]
        wishes = [Wish(c.text(*words), c.text(), n, compared=n < self.plan.compared) for n, c in enumerate(captions)]
        both, without = self.studio.draw(STARS, wishes)
        rows = [Row("without", list(without))]
        rows += [Row("with both", list(both[start : start + width])) for start in range(0, len(both), width)]
        explanation = "All prompts queued at once. Without: the noise of the row below, the superclasses for the words."
        asked = [wish.text for wish in wishes[:width]]
        self.save("both", "Two concepts in one picture, in ComfyUI", explanation, asked, rows)
        self.save_thumbnail(TWO, [*both[:3:2], *without[:3:2]])
        compared = both[: len(without)], without, captions[: len(without)]
        report = {
            "identity": [identity(*compared, individual) for individual in individuals],
            "leakage": leakage(both, tuple(individuals)),
            "text_alignment": text_alignment(both, captions),
        }
        self.say(f"Both in one picture: {report['leakage']:.0%} of traits on the wrong one.")
        return report

    def save(self, name: str, *sheet: Any) -> None:
        save_sheet(draw_sheet(*sheet), self.folder / f"{name}.png")

    def save_thumbnail(self, name: str, pictures: Sequence[np.ndarray]) -> None:
        """Pictures (16, 16, 3) in [0, 1] side by side, as the template browser shows a workflow."""
        columns = 3 if len(pictures) == 6 else 2
        sheet = Image.new("RGB", (columns * TILE, -(-len(pictures) // columns) * TILE))
        for number, picture in enumerate(pictures):
            sheet.paste(enlarged(picture, TILE), (number % columns * TILE, number // columns * TILE))
        path = self.folder / "thumbnails" / f"{name}.jpg"
        path.parent.mkdir(exist_ok=True)
        sheet.save(path, quality=90)


def captions_of(star: Star, prompts: Sequence[Caption]) -> list[Caption]:
    """The prompts, of the star's class."""
    return [replace(caption, class_word=star.individual.class_word) for caption in prompts]


def wishes_of(star: Star, captions: Sequence[Caption]) -> list[Wish]:
    return [Wish(caption.text(star.word), caption.text(), seed) for seed, caption in enumerate(captions)]
