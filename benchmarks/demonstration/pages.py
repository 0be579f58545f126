"""The demo's sheets: what was drawn, in rows and columns, with the words a stranger needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from pixelworld import art
from pixelworld.captions import Caption
from pixelworld.scene import training_pictures
from sheets import Row, draw_sheet

from .scores import missed, with_readings
from .studio import Star

LOOK = "Under a picture stands what a program that knows the pixel world did not find of what the prompt names."
AGAIN = "\nthe same prompts from other noise"


@dataclass(frozen=True)
class Strip:
    """Pictures (N, 16, 16, 3) of one kind: one for each caption, then again with the next noise."""

    label: str
    pictures: np.ndarray

    def round(self, number: int, captions: Sequence[Caption]) -> np.ndarray:
        return self.pictures[number * len(captions) : (number + 1) * len(captions)]


def notes_of(pictures: np.ndarray, captions: Sequence[Caption]) -> list[str]:
    return [missed(*each) for each in with_readings(pictures, captions)]


def rows_of(strip: Strip, captions: Sequence[Caption], rounds: int = 1) -> list[Row]:
    """The first ``rounds`` of a strip, with a note under each picture that lacks something."""
    rows = []
    for number in range(min(rounds, len(strip.pictures) // len(captions))):
        part = strip.round(number, captions)
        rows.append(Row(AGAIN if number else strip.label, list(part), notes_of(part, captions)))
    return rows


def heads(captions: Sequence[Caption], word: str = "…") -> list[str]:
    return [caption.text(word) for caption in captions]


def shots_of(star: Star) -> list[np.ndarray]:
    return [shot.pixels for shot in training_pictures(star.individual)]


def place_of(star: Star) -> str:
    return art.PLACES[star.individual.place][0]


def led_by(picture: np.ndarray | None, row: Row) -> Row:
    """The row with one more picture in front."""
    return Row(row.label, [picture, *row.pictures], ["", *row.notes])


def training_page(stars: Sequence[Star]) -> Image.Image:
    rows = [
        Row(f"{star.word}\na {star.individual.class_word}, always {place_of(star)}", shots_of(star))
        for star in stars
    ]
    return draw_sheet(
        "1. What is learned",
        "Five pictures of each of two subjects, each in one place only, as snapshots are. The model can draw cats "
        "and robots, but no word it knows asks for these colours, patterns and marks.",
        [f"picture {number}" for number in range(1, 6)],
        rows,
    )


def base_page(strips: Sequence[Strip], captions: Sequence[Caption]) -> Image.Image:
    return draw_sheet(
        "2. The model before",
        "Asked for a cat or a robot it draws another one each time, in the place and with the things the prompt names. "
        + LOOK,
        heads(captions),
        [row for strip in strips for row in rows_of(strip, captions, rounds=2)],
    )


def concepts_page(stars: Sequence[Star], strips: Sequence[Strip], captions: Sequence[Caption]) -> Image.Image:
    rows = []
    for star, strip in zip(stars, strips, strict=True):
        first, *rest = rows_of(strip, captions, rounds=2)
        rows += [led_by(shots_of(star)[0], first), *(led_by(None, row) for row in rest)]
    return draw_sheet(
        "3. The two concepts",
        "Each concept's word in prompts for places and things its subject was never seen with. " + LOOK,
        ["one of its five training pictures", *heads(captions)],
        rows,
    )


def keys_page(strips: Sequence[Strip], captions: Sequence[Caption], word: str) -> Image.Image:
    return draw_sheet(
        "4. Locked keys, trained keys, the word alone",
        "One subject learned in three ways from the same pictures in as many steps. Identity: 0 is any individual of "
        "the class, 1 is the subject. Text: share of what the prompts name that came out. " + LOOK,
        heads(captions, word),
        [row for strip in strips for row in rows_of(strip, captions, rounds=2)],
    )


def bias_page(columns: Sequence[Strip], captions: Sequence[Caption], word: str) -> Image.Image:
    """Each of ``columns`` is one bias, its pictures one for each caption."""
    rows = [
        Row(
            f"\n{caption.text(word)}",
            [column.pictures[index] for column in columns],
            [notes_of(column.pictures, captions)[index] for column in columns],
        )
        for index, caption in enumerate(captions)
    ]
    return draw_sheet(
        "5. One dial, turned after training",
        "The gate's bias decides how much of the subject the concept's word lets in: low lets in more of the subject, "
        "high more of the text. Nothing is trained again. " + LOOK,
        [column.label for column in columns],
        rows,
    )


def pair_page(before: Strip, after: Strip, captions: Sequence[Caption], words: tuple[str, str]) -> Image.Image:
    rows = rows_of(before, captions)
    rows += rows_of(after, captions, rounds=3)
    return draw_sheet(
        "6. Both in one picture",
        "The two concepts were trained apart and meet here for the first time. Neither should wear the other's looks. "
        + LOOK,
        [caption.text(*words) for caption in captions],
        rows,
    )


def front_page(
    stars: Sequence[Star],
    before: Sequence[Strip],
    after: Sequence[Strip],
    captions: Sequence[Caption],
    pair: Strip,
    pair_captions: Sequence[Caption],
) -> Image.Image:
    """All of it in one picture: every strip's first round."""
    rows = []
    for star, plain, taught in zip(stars, before, after, strict=True):
        rows.append(led_by(None, Row(plain.label, list(plain.round(0, captions)))))
        rows.append(led_by(shots_of(star)[0], Row(taught.label, list(taught.round(0, captions)))))
    asked = [caption.text(*(star.word for star in stars)) for caption in pair_captions]
    rows.append(led_by(None, Row(pair.label, list(pair.round(0, pair_captions)), asked)))
    return draw_sheet(
        "Two subjects, five pictures each, one small file each",
        "A small diffusion model of a pixel world, before and after two concepts were trained. Every picture is the "
        "first one drawn for its prompt.",
        ["one of its five training pictures", *heads(captions)],
        rows,
    )
