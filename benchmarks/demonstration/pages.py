"""The demo's sheets: what was drawn, in rows and columns, with the words a stranger needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from pixelworld.captions import Caption
from pixelworld.scene import training_pictures
from pixelworld.sheets import Row, draw_sheet

from .scores import missed, with_readings
from .studio import Star

LOOK = " Under a picture stands what a program that knows the pixel world did not find of what the prompt names."
SHOT = "one of its five training pictures"
WORDS = {
    "1_training": (
        "1. What is learned",
        "Five pictures of each of two subjects, each in one place only, as snapshots are. The model can draw cats "
        "and robots, but no word it knows asks for these colours, patterns and marks.",
    ),
    "2_base": (
        "2. The model before",
        "Asked for a cat or a robot it draws another one each time, in the place and with the things the prompt names."
        + LOOK,
    ),
    "3_concepts": (
        "3. The two concepts",
        "Each concept's word in prompts for places and things its subject was never seen with." + LOOK,
    ),
    "4_keys": (
        "4. Locked keys, trained keys, the word alone",
        "One subject learned in three ways from the same pictures in as many steps. Identity: 0 is any individual of "
        "the class, 1 is the subject. Text: share of what the prompts name that came out." + LOOK,
    ),
    "5_bias": (
        "5. One dial, turned after training",
        "The gate's bias decides how much of the subject the concept's word lets in: low lets in more of the subject, "
        "high more of the text. Nothing is trained again." + LOOK,
    ),
    "6_both": (
        "6. Both in one picture",
        "The two concepts were trained apart and meet here for the first time. Neither should wear the other's looks."
        + LOOK,
    ),
    "overview": (
        "Two subjects, five pictures each, one small file each",
        "A small diffusion model of a pixel world, before and after two concepts were trained. Every picture is the "
        "first one drawn for its prompt.",
    ),
}
"""Sheet -> its title and what to look at."""


def page(name: str, columns: Sequence[str], rows: Sequence[Row]) -> Image.Image:
    return draw_sheet(*WORDS[name], columns, rows)


@dataclass(frozen=True)
class Strip:
    """Pictures (N, 16, 16, 3) of one kind: one for each caption, then again with the next noise."""

    label: str
    pictures: np.ndarray

    def first(self, captions: Sequence[Caption]) -> Row:
        """One picture for each caption, with nothing under it."""
        return Row(self.label, list(self.pictures[: len(captions)]))

    def rows(self, captions: Sequence[Caption], rounds: int = 1) -> list[Row]:
        """The first ``rounds``, with a note under each picture that lacks something."""
        width, rows = len(captions), []
        for start in range(0, min(rounds * width, len(self.pictures)), width):
            part = self.pictures[start : start + width]
            label = "\nthe same prompts from other noise" if start else self.label
            rows.append(Row(label, list(part), notes_of(part, captions)))
        return rows


def notes_of(pictures: np.ndarray, captions: Sequence[Caption]) -> list[str]:
    return [missed(*each) for each in with_readings(pictures, captions)]


def heads(captions: Sequence[Caption], word: str = "…") -> list[str]:
    return [caption.text(word) for caption in captions]


def shots_of(star: Star) -> list[np.ndarray]:
    return [shot.pixels for shot in training_pictures(star.individual)]


def led_by(picture: np.ndarray | None, row: Row) -> Row:
    """The row with one more picture in front."""
    return Row(row.label, [picture, *row.pictures], ["", *row.notes])
