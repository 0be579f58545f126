"""The demo from beginning to end: teach, draw, score, and lay out a sheet for each step."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from perfusion_ops import EditTerm, KeyLocking
from pixelworld import art
from pixelworld.sheets import Row, save_sheet
from proof.specs import TRAINED_KEYS
from report import device_name

from .pages import SHOT, Strip, heads, led_by, notes_of, page, shots_of
from .scores import identity, leakage, text_alignment
from .studio import NO_WORDS, STARS, Star, Studio, Taught, pictures_of


@dataclass(frozen=True)
class Result:
    """Pictures of one way of drawing a star's prompts, and what they are worth."""

    pictures: np.ndarray
    identity: float
    text_alignment: float

    def under(self, heading: str) -> Strip:
        return Strip(f"{heading}\nidentity {self.identity:.2f}\ntext {self.text_alignment:.2f}", self.pictures)


class Story:
    """One telling. Sheets and concept files go to ``folder``; ``say`` is told what comes next."""

    def __init__(self, studio: Studio, folder: Path, say: Callable[[str], None]) -> None:
        self.studio, self.plan, self.folder, self.say = studio, studio.plan, folder, say
        self.captions, self.pairs = self.plan.prompts, self.plan.pairs

    def tell(self) -> dict[str, Any]:
        """Everything, in order; returns the report."""
        taught = [self.teach(star) for star in STARS]
        plain = [self.draw_class(star) for star in STARS]
        before = [
            Strip(f"“{star.individual.class_word}”\nbefore training", pictures_of(latents))
            for star, latents in zip(STARS, plain, strict=True)
        ]
        after = [self.after(each, strip.pictures) for each, strip in zip(taught, before, strict=True)]
        self.compare_keys(taught[0], after[0], before[0].pictures)
        self.sweep_bias(taught[0], before[0].pictures)
        pair, pair_report = self.meet(taught)
        self.save_pages(before, after, pair)
        return {
            "base": {"text_alignment": text_alignment(np.concatenate([s.pictures for s in before]), self.captions)},
            "concepts": [concept_report(each, result) for each, result in zip(taught, after, strict=True)],
            "two_concepts": pair_report,
            "do_no_harm_max_abs": self.harm(taught, plain[0]),
            "device": device_name("cpu"),
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
        }

    def texts(self, word: str) -> list[str]:
        return heads(self.captions, word) * self.plan.seeds

    def save(self, name: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        save_sheet(page(name, columns, rows), self.folder / f"{name}.png")

    def teach(self, star: Star) -> Taught:
        self.say(f"training {star.word}")
        return self.studio.teach(star, self.folder)

    def draw_class(self, star: Star) -> Tensor:
        self.say(f"drawing “{star.individual.class_word}” before")
        return self.studio.draw(self.texts(star.individual.class_word))

    def after(self, taught: Taught, class_word: np.ndarray) -> Result:
        self.say(f"drawing {taught.star.word}")
        return self.result(taught.star, class_word, [self.studio.term(taught.concept)])

    def result(
        self, star: Star, class_word: np.ndarray, terms: Sequence[EditTerm] = (), words=NO_WORDS, rounds: int = 0
    ) -> Result:
        """What the star's prompts draw with ``terms`` or learned ``words``, by default with every noise."""
        texts = heads(self.captions, star.word) * (rounds or self.plan.seeds)
        pictures = pictures_of(self.studio.draw(texts, terms, words))
        scaled = identity(pictures, class_word[: len(pictures)], self.captions, star.individual)
        return Result(pictures, scaled, text_alignment(pictures, self.captions))

    def compare_keys(self, taught: Taught, locked: Result, class_word: np.ndarray) -> None:
        star = taught.star
        self.say(f"training {star.word} with trained keys")
        trained = self.studio.term(self.studio.train(star, TRAINED_KEYS), locking=KeyLocking.TRAINED)
        unlocked = self.result(star, class_word, [trained])
        self.say(f"training {star.word}, the word alone")
        word = self.result(star, class_word, words={star.word: self.studio.teach_word(star)})
        strips = [locked.under("locked keys"), unlocked.under("trained keys"), word.under("the word alone")]
        rows = [row for strip in strips for row in strip.rows(self.captions, rounds=2)]
        self.save("4_keys", heads(self.captions, star.word), rows)

    def sweep_bias(self, taught: Taught, class_word: np.ndarray) -> None:
        self.say("turning the bias")
        columns = [
            self.result(taught.star, class_word, [self.studio.term(taught.concept, bias)], rounds=1).under(
                f"bias {bias:g}"
            )
            for bias in self.plan.biases
        ]
        notes = [notes_of(column.pictures, self.captions) for column in columns]
        rows = [
            Row(f"\n{text}", [column.pictures[index] for column in columns], [note[index] for note in notes])
            for index, text in enumerate(heads(self.captions, taught.star.word))
        ]
        self.save("5_bias", [column.label for column in columns], rows)

    def meet(self, taught: Sequence[Taught]) -> tuple[Strip, dict[str, Any]]:
        """Both concepts in one picture, beside what their superclasses draw for the same prompts."""
        self.say("drawing both together")
        words, individuals = [star.word for star in STARS], [star.individual for star in STARS]
        terms, asked = [self.studio.term(each.concept) for each in taught], [c.text(*words) for c in self.pairs]
        plain = pictures_of(self.studio.draw([caption.text() for caption in self.pairs] * self.plan.seeds))
        both = pictures_of(self.studio.draw(asked * self.plan.seeds, terms))
        classes = " and a ".join(individual.class_word for individual in individuals)
        before, after = Strip(f"a {classes}\nbefore training", plain), Strip(" and ".join(words), both)
        self.save("6_both", asked, before.rows(self.pairs) + after.rows(self.pairs, rounds=3))
        report = {
            "identity": [identity(both, plain, self.pairs, individual) for individual in individuals],
            "leakage": leakage(both, tuple(individuals)),
        }
        return after, report

    def harm(self, taught: Sequence[Taught], plain: Tensor) -> float:
        """Largest difference to the latents drawn without any concept, for prompts without the concept."""
        self.say("drawing prompts without the concept")
        terms = [self.studio.term(each.concept) for each in taught]
        edited = self.studio.draw(self.texts(STARS[0].individual.class_word), terms)
        return (edited - plain).abs().max().item()

    def save_pages(self, before: Sequence[Strip], after: Sequence[Result], pair: Strip) -> None:
        """The sheets of the training, the model before and the concepts, and all of it in one."""
        captions, taught, overview, training = self.captions, [], [], []
        for star, plain, result in zip(STARS, before, after, strict=True):
            shots, strip = shots_of(star), result.under(star.word)
            place = art.PLACES[star.individual.place][0]
            training.append(Row(f"{star.word}\na {star.individual.class_word}, always {place}", shots))
            first, *rest = strip.rows(captions, rounds=2)
            taught += [led_by(shots[0], first), *(led_by(None, row) for row in rest)]
            overview += [led_by(None, plain.first(captions)), led_by(shots[0], strip.first(captions))]
        asked = [caption.text(*(star.word for star in STARS)) for caption in self.pairs]
        row = pair.first(self.pairs)
        overview.append(led_by(None, Row(row.label, row.pictures, asked)))
        self.save("1_training", [f"picture {number}" for number in range(1, 6)], training)
        self.save("2_base", heads(captions), [row for strip in before for row in strip.rows(captions, rounds=2)])
        self.save("3_concepts", [SHOT, *heads(captions)], taught)
        self.save("overview", [SHOT, *heads(captions)], overview)


def concept_report(taught: Taught, result: Result) -> dict[str, Any]:
    return {
        "name": taught.star.name,
        "identity": result.identity,
        "text_alignment": result.text_alignment,
        "seconds": taught.seconds,
        "file_bytes": taught.file_bytes,
    }
