"""From what was read in a picture to a figure of the proof."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pixelworld import art
from pixelworld.captions import Caption
from pixelworld.reader import FigureReading, Reading
from pixelworld.scene import Traits
from proof.reading import attributes_right, companion_row, scaled_identity

TRAITS = Traits("red", "blue", "stripes", "none")


def reading(place="snow", position="left", accessory=None, object_=None, colour=None) -> Reading:
    return Reading((FigureReading("cat", position, accessory, TRAITS, (0, 6)),), place, object_, colour)


def test_only_named_attributes_count_and_the_class_never_does():
    """A method is not praised for what no prompt asked for."""
    caption = Caption("dog", place="snow", object="ball", object_colour="red")
    assert attributes_right(caption, reading(object_="ball", colour="red")) == {
        "place": True, "object": True, "object_colour": True,
    }  # fmt: skip
    assert attributes_right(Caption("dog"), reading()) == {}


def test_a_picture_without_a_figure_or_the_object_has_their_attributes_wrong():
    """An empty picture counts as wrong, and not as missing."""
    caption = Caption("cat", place="snow", position="left", accessory="hat", object="ball", object_colour="red")
    empty = Reading((), "snow", "box", "red")
    assert attributes_right(caption, empty) == {
        "place": True, "position": False, "accessory": False, "object": False, "object_colour": False,
    }  # fmt: skip


def test_identity_is_0_at_the_class_word_and_1_at_the_ceiling():
    """Identity 0 is any of the superclass, 1 is the subject as well as it can be drawn."""
    assert [scaled_identity(raw, 0.3, 0.9) for raw in (0.3, 0.9, 0.6)] == pytest.approx([0, 1, 0.5])


def test_a_companion_is_right_where_it_was_named_and_wears_the_concept_s_traits_or_not():
    """What a concept does to others in its picture is measured."""
    own, other = list(art.SPRITES)[:2]
    caption = Caption(other, place="beach", position="left", partner=own)
    mine = ("red", "blue", "stripes", "none")

    def read(*figures: FigureReading) -> tuple[float, float, float]:
        return companion_row(caption, own, mine, Reading(figures, "beach", None, None))

    concept = FigureReading(own, "right", None, Traits(*mine), (8, 6))
    companion = FigureReading(other, "left", None, Traits("red", "green", "stripes", "spot"), (0, 6))
    assert read(concept, companion) == (1, 1, 0.5)
    assert read(replace(companion, position="middle"))[0] == 0
    placed, place, worn = read(concept)
    assert (placed, place) == (0, 1) and np.isnan(worn)
