"""The proof's sheets of pictures, with words on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pixelworld.scene import training_pictures
from pixelworld.sheets import Row, draw_sheet, save_sheet

from .scenes import captions_of
from .specs import BASE, Drawing, Subject
from .work import Store, pictures_of


def save_beside_sheet(drawings: Mapping[str, Drawing], subject: Subject, store: Store, path: Path) -> None:
    """One subject beside every other class, named after it, by every method."""
    own, drawn = subject.individual().class_word, {m: drawing.of(subject) for m, drawing in drawings.items()}
    captions = captions_of(next(iter(drawn.values())))
    shown = [number for number, caption in enumerate(captions) if caption.class_word == own]
    shots = [shot.pixels for shot in training_pictures(subject.individual(), seed=subject.index)]
    rows = [Row("five training pictures\nall in one place", shots)]
    for method, drawing in drawn.items():
        pictures = pictures_of(drawing, store).numpy()
        label = "base model\nthe class word" if method == BASE else method
        rows.append(Row(label, [pictures[number] for number in shown]))
    explanation = (
        f"Each column is one prompt, … the {own} learned; the other figure is named by its class alone, so nothing but "
        "the method decides how it looks. All methods start from the same noise; first seed, none chosen."
    )
    asked = [captions[number].text("…") for number in shown]
    save_sheet(draw_sheet("Who else puts on the concept's looks?", explanation, asked, rows, side=96), path)


def save_sheet_of(drawings: Sequence[Drawing], count: int, title: str, store: Store, path: Path) -> None:
    """A row for each of some drawings: a training picture of each subject, then the first ``count`` pictures."""
    rows = []
    for drawing in drawings:
        individuals = [subject.individual() for subject in drawing.subjects]
        shots = [training_pictures(individual)[0].pixels for individual in individuals]
        pictures = pictures_of(drawing, store)[:count].numpy()
        captions = captions_of(drawing)[:count]
        asked = [caption.text(*"…" * len(shots)).removeprefix("a photo of a ") for caption in captions]
        label = " and ".join(individual.class_word for individual in individuals)
        rows.append(Row(label, [*shots, *pictures], [*("training" for _ in shots), *asked]))
    explanation = "One training picture of each, then prompts in other places. First seed, none chosen."
    save_sheet(draw_sheet(title, explanation, [], rows, side=96), path)
