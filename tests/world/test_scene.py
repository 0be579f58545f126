"""The pictures of the pixel world, and the training pictures and masks of an individual."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from builders.pixels import random_scenes
from pixelworld import art
from pixelworld.scene import Traits, draw, render, sample_individual, sprite_layers, training_pictures


def test_every_pixel_is_a_palette_level():
    """Pictures have exact colours, so that what they show can be read without a doubt."""
    quarters = 4 * np.stack([render(scene) for scene in random_scenes(100)])
    assert np.array_equal(quarters, quarters.round())
    assert quarters.min() == 0 and quarters.max() == 4


def test_sprites_are_of_one_size_and_carry_both_colours_and_both_marks():
    """Every class can carry every trait."""
    for rows in art.SPRITES.values():
        assert len(rows) == art.SPRITE_HEIGHT and {len(row) for row in rows} == {art.SPRITE_WIDTH}
        assert set("12mn") <= set("".join(rows))


@pytest.mark.parametrize("word", art.SPRITES)
def test_every_trait_changes_the_sprite(word):
    """Every trait of an individual can be seen, and so its identity measured."""
    traits = Traits("red", "blue", "plain", "none")
    plain = sprite_layers(word, traits)[0]
    changes = [{"first": "green"}, {"second": "green"}, {"mark": "blaze"}, {"mark": "badge"}]
    changes += [{"pattern": pattern} for pattern in art.PATTERNS[1:]]
    others = [sprite_layers(word, replace(traits, **change))[0] for change in changes]
    for index, one in enumerate([plain, *others]):
        assert not any(np.array_equal(one, other) for other in others[index:])


def test_training_pictures_share_place_and_position_and_differ():
    """A subject's pictures are what a user would have: several, of one place."""
    individual = sample_individual(5)
    pictures = training_pictures(individual, n=5)
    assert {(p.scene.place, p.scene.figures[0].position) for p in pictures} == {(individual.place, individual.position)}
    assert len({p.pixels.tobytes() for p in pictures}) == 5
    assert training_pictures(individual)[2].pixels.tobytes() == pictures[2].pixels.tobytes()


def test_the_subject_mask_covers_the_body_and_falls_off_around_it():
    """A subject's mask is what a user would paint."""
    picture = training_pictures(sample_individual(5))[0]
    body = draw(picture.scene).body_masks[0]
    assert (picture.mask[body] == 1).all() and set(np.unique(picture.mask)) == {0, 0.5, 1}
    assert picture.mask.mean() < 0.5
