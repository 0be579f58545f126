"""What a world reaches without any concept: judged right on pictures of which the answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from torch import Tensor

from pixelworld.captions import Caption, sample_scene
from pixelworld.evaluate import class_rates, identity_rate, leakage_rate
from pixelworld.scene import Scene, render
from pixelworld.world import as_batch

COUNT = 12


def scenes(captions: list[Caption]) -> list[Scene]:
    rng = np.random.RandomState(1)
    return [sample_scene(caption, rng) for caption in captions]


def right(captions: list[Caption]) -> Tensor:
    return as_batch([render(scene) for scene in scenes(captions)])


def exchanged(captions: list[Caption]) -> Tensor:
    """Every figure with the look of the next."""
    looks = [[figure.traits for figure in scene.figures] for scene in scenes(captions)]
    pictures = []
    for scene, traits in zip(scenes(captions), looks, strict=True):
        figures = zip(scene.figures, [*traits[1:], traits[0]], strict=True)
        pictures.append(render(replace(scene, figures=tuple(replace(f, traits=look) for f, look in figures))))
    return as_batch(pictures)


def without_the_last(captions: list[Caption]) -> Tensor:
    return as_batch([render(replace(scene, figures=scene.figures[:-1])) for scene in scenes(captions)])


def test_a_world_that_draws_known_individuals_as_they_are_is_said_to():
    """The ceiling beside the methods' identity is the world's own."""
    name, identity, count = identity_rate(right, COUNT)
    assert (name, count) == ("known individuals, identity", COUNT)
    assert identity > 0.95


@pytest.mark.parametrize("placed", [False, True])
def test_a_world_that_mixes_up_two_known_individuals_is_said_to(placed):
    """The ceiling beside the methods' leakage is the world's own."""
    assert leakage_rate(right, COUNT, 2, placed)[1] == 0
    assert leakage_rate(exchanged, COUNT, 2, placed)[1] > 0.95


@pytest.mark.parametrize("size", [2, 3])
def test_a_world_that_leaves_out_a_figure_is_said_to(size):
    """That a world cannot draw three together is measured, not assumed."""
    assert [share for _, share, _ in class_rates(right, COUNT, size)] == [1, 1]
    assert [share for _, share, _ in class_rates(without_the_last, COUNT, size)] == [0, 0]
