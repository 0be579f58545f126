"""The pictures of README, drawn in the pixel world: two concepts, and each dial turned.

    python dev.py bench pictures [--out docs/figures]

Every picture is the first one drawn for its prompt: none is chosen.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from demonstration.pages import heads, led_by, shots_of
from demonstration.studio import PROMPTS, STARS, Plan, Studio, Taught, pictures_of
from perfusion_ops import EditTerm, JointEdit, KeyLocking, inject
from perfusion_ops.edit.injection import InjectedEdit
from perfusion_ops.edit.regions import mask_at
from pixelworld.captions import Caption
from pixelworld.concepts import encode_prompts
from pixelworld.once import forwards_in, the_world
from pixelworld.sheets import Row, draw_sheet, save_sheet
from proof.baselines import adapted_modules
from proof.specs import RESIDUAL
from report import ROOT

CAT, ROBOT = STARS
ALONE = PROMPTS[0]
BESIDE = Caption("cat", place="forest", position="left", partner="dog")
HALF = torch.arange(16) < 8
REGIONS = {
    "not connected": torch.ones(16, 16),
    "left half": HALF.float().expand(16, 16),
    "right half": (~HALF).float().expand(16, 16),
    "upper half": HALF.float()[:, None].expand(16, 16),
    "lower half": (~HALF).float()[:, None].expand(16, 16),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "figures", help="the folder to write to")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        studio = Studio(Plan(), ROOT / "bench_out" / "demo", lambda _done: None)
        cat, robot = (studio.teach(star, Path(folder)) for star in STARS)
    save_sheet(front(studio, cat, robot), out / "front.png")
    for name, caption, turned in dials(studio, cat):
        pictures = [draw(studio, cat, caption, term) for term in turned.values()]
        save_dial(out, name, caption, dict(zip(turned, pictures, strict=True)))
    named = [ALONE.text(CAT.word)], [studio.term(cat.concept)]
    pictures = [draw_in(studio, *named, [mask])[0] for mask in REGIONS.values()]
    save_dial(out, "region", ALONE, dict(zip(REGIONS, pictures, strict=True)))


def front(studio: Studio, cat: Taught, robot: Taught) -> Image.Image:
    """What was learned from, what the word of each concept draws, and both in one picture."""
    captions, rows = PROMPTS[:4], []
    for taught in (cat, robot):
        star = taught.star
        pictures = drawn(studio, [caption.text(star.word) for caption in captions], [studio.term(taught.concept)])
        rows.append(led_by(shots_of(star)[0], Row(f"{star.word}\na {star.individual.class_word}", list(pictures))))
    texts = [caption.text(CAT.word, ROBOT.word) for caption in studio.plan.pairs[:4]]
    pictures = drawn(studio, texts, [studio.term(taught.concept) for taught in (cat, robot)])
    rows.append(led_by(None, Row(f"{CAT.word} and {ROBOT.word}\nin one picture", list(pictures))))
    return trimmed(draw_sheet("", "", ["one of five training pictures", *heads(captions)], rows, side=96))


def dials(studio: Studio, cat: Taught) -> Iterator[tuple[str, Caption, dict[str, EditTerm]]]:
    """Each dial that is one number or choice: its name, a prompt, and the concept at five settings."""
    term = studio.term(cat.concept)
    yield "bias", BESIDE, {f"{b:g}": studio.term(cat.concept, b) for b in studio.plan.biases}
    yield "visual_strength", ALONE, {f"{s:g}": replace(term, strength=s) for s in (0.0, 0.5, 1.0, 1.5, 2.0)}
    lockings = (lock for lock in KeyLocking if lock is not KeyLocking.TRAINED)
    yield "key_locking", BESIDE, {lock.value.replace("_", " "): replace(term, key_locking=lock) for lock in lockings}


def draw(studio: Studio, taught: Taught, caption: Caption, term: EditTerm) -> np.ndarray:
    """A picture (16, 16, 3) of ``caption`` with the concept in it."""
    return drawn(studio, [caption.text(taught.star.word)], [term])[0]


def drawn(studio: Studio, texts: Sequence[str], terms: Sequence[EditTerm]) -> np.ndarray:
    return pictures_of(studio.draw(texts, terms))


def draw_in(studio: Studio, texts: Sequence[str], terms: Sequence[EditTerm], masks: Sequence[Tensor]) -> np.ndarray:
    """Pictures (N, 16, 16, 3) with the look of each concept only where its mask (16, 16) is."""
    edit = JointEdit.of(terms)
    masks = [masks[terms.index(term)] for term in edit.terms]
    prompts = encode_prompts(the_world().text_encoder, [*texts, *[""] * len(texts)], [t.concept for t in edit.terms])
    context = edit.contexts(prompts.encodings, present=prompts.present, keep=prompts.keep)
    with inject(adapted_modules(RESIDUAL)) as injected, within(masks, injected):
        injected.use(context, edit.value_residuals)
        # The projections read ``context``, whatever prompt they are given.
        return drawn(studio, ["a photo"] * len(texts), [])


@contextmanager
def within(masks: Sequence[Tensor], injected: InjectedEdit) -> Iterator[None]:
    """Inside, each concept's residuals change what a cross-attention layer gives only where its mask (16, 16) is."""
    layers = [the_world().unet.get_submodule(name) for name in adapted_modules(RESIDUAL)]

    def masked(attention):
        def attend(queries: Tensor, context: Tensor | None = None) -> Tensor:
            residuals, side = injected.value_residuals, math.isqrt(queries.shape[1])
            injected.value_residuals = {}
            plain, edited = attention(queries, context), []
            for number in range(len(masks)):
                injected.value_residuals = {name: _alone(each, number) for name, each in residuals.items()}
                edited.append(attention(queries, context))
            injected.value_residuals = residuals
            first, *others = [mask_at(mask, side, side).unsqueeze(-1).to(plain) for mask in masks]
            # Exactly ``edited`` where the first mask is 1: in bfloat16 its difference to ``plain`` is not.
            output = torch.lerp(plain, edited[0], first)
            return output + sum(mask * (each - plain) for mask, each in zip(others, edited[1:], strict=True))

        return attend

    with forwards_in(layers, masked):
        yield


def _alone(residuals: Tensor, concept: int) -> Tensor:
    return residuals * (torch.arange(len(residuals)) == concept).unsqueeze(-1)


def save_dial(out: Path, name: str, caption: Caption, pictures: dict[str, np.ndarray]) -> None:
    label = f"{name}\n{caption.text(CAT.word)}"
    sheet = draw_sheet("", "", list(pictures), [Row(label, list(pictures.values()))], side=96)
    save_sheet(trimmed(sheet), out / f"dial_{name}.png")


def trimmed(sheet: Image.Image, margin: int = 12) -> Image.Image:
    """The sheet without the room that a title would take."""
    left, top, right, bottom = ImageOps.invert(sheet).getbbox()
    return sheet.crop((left - margin, top - margin, right + margin, bottom + margin))


if __name__ == "__main__":
    main()
