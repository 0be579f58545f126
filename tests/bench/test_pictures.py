"""The README's pictures: each dial shows what it says, and the region is the one of the method."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

import pictures
from demonstration.studio import Plan, Studio

SMALL = Plan(steps=2, batch_size=2, sampling_steps=2, captions=300)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    studio = Studio(SMALL, folder / "cache", lambda _done: None)
    return studio, studio.teach(pictures.CAT, folder)


def test_every_dial_is_shown_at_five_settings(scene):
    """README shows each dial turned from one end to the other."""
    shown = {name: list(turned) for name, _, turned in pictures.dials(*scene)}
    assert list(shown) == ["bias", "visual_strength", "key_locking"]
    assert all(len(settings) == 5 for settings in (*shown.values(), pictures.REGIONS))


def test_a_region_of_everything_is_the_picture_without_one(scene):
    """The picture of the region dial starts from what all other pictures show."""
    studio, cat = scene
    usual = pictures.draw(studio, cat, pictures.ALONE, studio.term(cat.concept))
    assert np.array_equal(pictures.draw_in(studio, cat, pictures.ALONE, torch.ones(16, 16)), usual)


def test_outside_a_region_the_word_draws_the_superclass(scene):
    """A region of nothing is strength 0, as README says of both, and no region is not."""
    studio, cat = scene
    superclass = pictures.draw(studio, cat, pictures.ALONE, replace(studio.term(cat.concept), strength=0.0))
    nowhere = pictures.draw_in(studio, cat, pictures.ALONE, torch.zeros(16, 16))
    assert np.array_equal(nowhere, superclass)
    assert not np.array_equal(pictures.draw_in(studio, cat, pictures.ALONE, torch.ones(16, 16)), superclass)


def test_a_sheet_is_trimmed_to_what_is_drawn_on_it():
    """README loses no line to white paper."""
    sheet = Image.new("RGB", (200, 100), "white")
    ImageDraw.Draw(sheet).rectangle((50, 40, 99, 59), fill="black")
    assert pictures.trimmed(sheet, margin=10).size == (70, 40)
