"""The demo from beginning to end: teach, draw, score, and lay out a sheet for each step."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from perfusion_ops import KeyLocking
from proof.specs import TRAINED_KEYS
from report import device_name
from sheets import save_sheet

from . import pages
from .pages import Strip
from .scores import identity, leakage, text_alignment
from .studio import STARS, Star, Studio, Taught, pictures_of


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
        before = [self.before(star, latents) for star, latents in zip(STARS, plain, strict=True)]
        after = [self.after(each, strip.pictures) for each, strip in zip(taught, before, strict=True)]
        self.compare_keys(taught[0], after[0], before[0].pictures)
        self.sweep_bias(taught[0], before[0].pictures)
        pair_strip, pair_report = self.meet(taught)
        self.save_pages(before, after, pair_strip)
        everything_before = np.concatenate([strip.pictures for strip in before])
        return {
            "base": {"text_alignment": text_alignment(everything_before, self.captions)},
            "concepts": [concept_report(each, result) for each, result in zip(taught, after, strict=True)],
            "two_concepts": pair_report,
            "do_no_harm_max_abs": self.harm(taught, plain[0]),
            "device": device_name("cpu"),
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
        }

    def texts(self, word: str, rounds: int | None = None) -> list[str]:
        return [caption.text(word) for caption in self.captions] * (self.plan.seeds if rounds is None else rounds)

    def save(self, name: str, sheet: Image.Image) -> None:
        save_sheet(sheet, self.folder / f"{name}.png")

    def teach(self, star: Star) -> Taught:
        self.say(f"training {star.word}")
        return self.studio.teach(star, self.folder)

    def draw_class(self, star: Star) -> Tensor:
        self.say(f"drawing “{star.individual.class_word}” before")
        return self.studio.draw(self.texts(star.individual.class_word))

    def before(self, star: Star, latents: Tensor) -> Strip:
        return Strip(f"“{star.individual.class_word}”\nbefore training", pictures_of(latents))

    def result(self, star: Star, latents: Tensor, class_word: np.ndarray) -> Result:
        pictures = pictures_of(latents)
        floor = class_word[: len(pictures)]
        scaled = identity(pictures, floor, self.captions, star.individual)
        return Result(pictures, scaled, text_alignment(pictures, self.captions))

    def after(self, taught: Taught, class_word: np.ndarray) -> Result:
        self.say(f"drawing {taught.star.word}")
        latents = self.studio.draw(self.texts(taught.star.word), [self.studio.term(taught.concept)])
        return self.result(taught.star, latents, class_word)

    def compare_keys(self, taught: Taught, locked: Result, class_word: np.ndarray) -> None:
        star = taught.star
        self.say(f"training {star.word} with trained keys")
        trained = self.studio.term(self.studio.train(star, TRAINED_KEYS), locking=KeyLocking.TRAINED)
        unlocked = self.result(star, self.studio.draw(self.texts(star.word), [trained]), class_word)
        self.say(f"training {star.word}, the word alone")
        words = {star.word: self.studio.teach_word(star)}
        word = self.result(star, self.studio.draw(self.texts(star.word), words=words), class_word)
        strips = [locked.under("locked keys"), unlocked.under("trained keys"), word.under("the word alone")]
        self.save("4_keys", pages.keys_page(strips, self.captions, star.word))

    def sweep_bias(self, taught: Taught, class_word: np.ndarray) -> None:
        self.say("turning the bias")
        columns = []
        for bias in self.plan.biases:
            term = self.studio.term(taught.concept, bias)
            result = self.result(taught.star, self.studio.draw(self.texts(taught.star.word, 1), [term]), class_word)
            columns.append(result.under(f"bias {bias:g}"))
        self.save("5_bias", pages.bias_page(columns, self.captions, taught.star.word))

    def meet(self, taught: Sequence[Taught]) -> tuple[Strip, dict[str, Any]]:
        """Both concepts in one picture, beside what their class words draw for the same prompts."""
        self.say("drawing both together")
        words, individuals = [star.word for star in STARS], [star.individual for star in STARS]
        terms = [self.studio.term(each.concept) for each in taught]
        plain = pictures_of(self.studio.draw([caption.text() for caption in self.pairs] * self.plan.seeds))
        both = pictures_of(self.studio.draw([c.text(*words) for c in self.pairs] * self.plan.seeds, terms))
        classes = " and a ".join(individual.class_word for individual in individuals)
        after = Strip(" and ".join(words), both)
        self.save("6_both", pages.pair_page(Strip(f"a {classes}\nbefore training", plain), after, self.pairs, words))
        report = {
            "identity": [identity(both, plain, self.pairs, individual) for individual in individuals],
            "leakage": leakage(both, tuple(individuals)),
        }
        return after, report

    def harm(self, taught: Sequence[Taught], plain: Tensor) -> float:
        """Largest difference to the latents drawn without any concept, for prompts that name none."""
        self.say("drawing prompts that name no concept")
        terms = [self.studio.term(each.concept) for each in taught]
        edited = self.studio.draw(self.texts(STARS[0].individual.class_word), terms)
        return (edited - plain).abs().max().item()

    def save_pages(self, before: Sequence[Strip], after: Sequence[Result], pair: Strip) -> None:
        strips = [result.under(star.word) for star, result in zip(STARS, after, strict=True)]
        self.save("1_training", pages.training_page(STARS))
        self.save("2_base", pages.base_page(before, self.captions))
        self.save("3_concepts", pages.concepts_page(STARS, strips, self.captions))
        self.save("overview", pages.front_page(STARS, before, strips, self.captions, pair, self.pairs))


def concept_report(taught: Taught, result: Result) -> dict[str, Any]:
    return {
        "name": taught.star.name,
        "identity": result.identity,
        "text_alignment": result.text_alignment,
        "seconds": taught.seconds,
        "file_bytes": taught.file_bytes,
    }
