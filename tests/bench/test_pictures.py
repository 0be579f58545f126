"""The README's pictures: each dial shows what it says, and the region is the one of the method."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

import pictures
import regions
from demonstration.studio import Plan, Studio

SMALL = Plan(steps=2, batch_size=2, sampling_steps=2, captions=300)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    studio = Studio(SMALL, folder / "cache", lambda _done: None)
    return studio, studio.teach(pictures.CAT, folder)


def in_region(studio, taught, mask: torch.Tensor) -> np.ndarray:
    text, term = pictures.ALONE.text(taught.star.word), studio.term(taught.concept)
    return pictures.draw_in(studio, [text], [term], [mask])[0]


def test_every_dial_is_shown_at_five_settings(scene):
    """README shows each dial turned from one end to the other."""
    shown = {name: list(turned) for name, _, turned in pictures.dials(*scene)}
    assert list(shown) == ["bias", "visual_strength", "key_locking"]
    assert all(len(settings) == 5 for settings in (*shown.values(), pictures.REGIONS))


def test_a_region_of_everything_is_the_picture_without_one(scene):
    """The picture of the region dial starts from what all other pictures show."""
    studio, cat = scene
    usual = pictures.draw(studio, cat, pictures.ALONE, studio.term(cat.concept))
    assert np.array_equal(in_region(studio, cat, torch.ones(16, 16)), usual)


def test_outside_a_region_the_word_draws_the_superclass(scene):
    """A region of nothing is strength 0, as README says of both, and no region is not."""
    studio, cat = scene
    superclass = pictures.draw(studio, cat, pictures.ALONE, replace(studio.term(cat.concept), strength=0.0))
    assert np.array_equal(in_region(studio, cat, torch.zeros(16, 16)), superclass)
    assert not np.array_equal(in_region(studio, cat, torch.ones(16, 16)), superclass)


def test_each_concept_has_its_own_region_in_any_order(scene, tmp_path):
    """The picture of two regions would show one concept in the other's half."""
    studio, cat = scene
    terms = [studio.term(each.concept, 0.3) for each in (cat, studio.teach(pictures.ROBOT, tmp_path))]
    text, halves = pictures.BESIDE.text(*(star.word for star in pictures.STARS)), regions.halves()
    first, other = (pictures.draw_in(studio, [text], terms[::way], halves[::way])[0] for way in (1, -1))
    assert np.array_equal(first, other)
    assert not np.array_equal(first, pictures.draw_in(studio, [text], terms, halves[::-1])[0])


def test_a_sheet_is_trimmed_to_what_is_drawn_on_it():
    """README loses no line to white paper."""
    sheet = Image.new("RGB", (200, 100), "white")
    ImageDraw.Draw(sheet).rectangle((50, 40, 99, 59), fill="black")
    assert pictures.trimmed(sheet, margin=10).size == (70, 40)
