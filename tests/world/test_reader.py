"""The reader's own error on rendered scenes: the ceiling of everything measured with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pixelworld import art
from pixelworld.captions import Caption, sample_caption, sample_scene
from pixelworld.reader import Reader, identity_score
from pixelworld.scene import Figure, Scene, render, sample_individual, sample_traits
from pixelworld.world import as_batch


@pytest.fixture(scope="module")
def reader():
    return Reader()


def facts(scene: Scene) -> tuple:
    figures = sorted((f.class_word, f.position, str(f.accessory), str(f.traits)) for f in scene.figures)
    return scene.place, scene.object, scene.object_colour, figures


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.RandomState(5)
    scenes = [sample_scene(sample_caption(rng), rng) for _ in range(120)]
    return scenes, as_batch([render(scene) for scene in scenes])


def read_facts(reading) -> tuple:
    figures = sorted((f.class_word, f.position, str(f.accessory), str(f.traits)) for f in reading.figures)
    return reading.place, reading.object, reading.object_colour, figures


def test_rendered_scenes_are_read_without_error(reader, drawn):
    """Every figure of the proof is read from pictures: the reader itself adds no error."""
    scenes, pictures = drawn
    assert [read_facts(reading) for reading in reader.read(pictures)] == [facts(scene) for scene in scenes]


def test_noise_of_a_tenth_changes_no_class_place_or_count(reader, drawn):
    """A picture that is not quite clean is read as what it shows."""
    scenes, pictures = drawn
    noise = 0.1 * torch.randn(pictures.shape, generator=torch.Generator().manual_seed(0))
    for scene, reading in zip(scenes, reader.read((pictures + noise).clamp(0, 1)), strict=True):
        assert reading.place == scene.place and reading.count == len(scene.figures)
        assert {f.class_word for f in reading.figures} == {f.class_word for f in scene.figures}


def test_an_empty_place_holds_nothing(reader):
    """The reader sees no figure where there is none."""
    empty = as_batch([art.background(place, variant) for place in art.PLACES for variant in range(art.VARIANTS)])
    assert all(reading.count == 0 and reading.object is None for reading in reader.read(empty))


def test_pure_noise_holds_no_figure(reader):
    """A picture of noise counts as a failure, and not as a subject."""
    noise = torch.rand(20, 16, 16, 3, generator=torch.Generator().manual_seed(0))
    assert all(reading.count == 0 for reading in reader.read(noise))


def in_scene(individual, traits, class_word=None) -> torch.Tensor:
    figure = Figure(class_word or individual.class_word, traits, individual.position, "hat")
    return as_batch([render(Scene((figure,), "space"))])


def test_an_individual_scores_one_and_falls_with_every_trait_it_loses():
    """The identity score is 1 for the subject and falls with every trait that is wrong."""
    for seed in range(8):
        individual = sample_individual(seed)
        own = individual.traits
        other = next(name for name in art.BODY_COLOURS if name not in (own.first, own.second))
        marked = replace(own, mark="none" if own.mark == "badge" else "badge")
        scores = [
            identity_score(in_scene(individual, traits), individual).item()
            for traits in (own, marked, replace(own, second=other), replace(own, first=other, second=own.first))
        ]
        assert scores[0] == 1
        assert scores[0] > scores[1] > scores[2] > scores[3]


def test_strangers_of_the_class_score_low():
    """An identity score cannot be had by drawing just any of the superclass."""
    individual = sample_individual(3)
    rng = np.random.RandomState(0)
    caption = Caption(individual.class_word)
    pictures = as_batch([render(sample_scene(caption, rng)) for _ in range(60)])
    assert identity_score(pictures, individual).mean() < 0.5


def test_identity_can_be_asked_of_one_position():
    """In a picture of two, each subject has a score of its own."""
    individual = replace(sample_individual(3), position="left")
    rng = np.random.RandomState(0)
    pair = (Figure(individual.class_word, individual.traits, "left"), Figure("robot", sample_traits(rng), "right"))
    picture = as_batch([render(Scene(pair, "snow"))])
    assert identity_score(picture, individual, "left").item() == 1
    assert identity_score(picture, individual, "right").item() < 0.6


@pytest.fixture(scope="module")
def wide_reader():
    return Reader(art.WIDE)


def wide_scene(rng: np.random.RandomState) -> Scene:
    words = rng.permutation(list(art.SPRITES))[:3]
    figures = [
        Figure(str(word), sample_traits(rng), position, jitter=(int(rng.randint(2)), int(rng.randint(2))))
        for word, position in zip(words, art.POSITIONS, strict=True)
    ]
    place = str(rng.choice(list(art.PLACES)))
    return Scene(tuple(figures), place, int(rng.randint(art.VARIANTS)), width=art.WIDE)


def test_three_figures_in_a_wide_picture_are_read_without_error(wide_reader):
    """Pictures of three subjects are read without error."""
    rng = np.random.RandomState(6)
    scenes = [wide_scene(rng) for _ in range(60)]
    readings = wide_reader.read(as_batch([render(scene) for scene in scenes]))
    assert [read_facts(reading) for reading in readings] == [facts(scene) for scene in scenes]


def test_a_wide_picture_is_the_world_s_own_with_more_columns(wide_reader):
    """Pictures of three can be compared with those of two."""
    scene = wide_scene(np.random.RandomState(7))
    narrow = replace(scene, figures=scene.figures[:1], width=art.SIZE)
    wide = replace(narrow, width=art.WIDE)
    assert np.array_equal(render(wide)[:, : art.SIZE], render(narrow))
    empty = as_batch([art.background(place, 0, art.WIDE) for place in art.PLACES])
    assert all(reading.count == 0 for reading in wide_reader.read(empty))


def test_identity_in_a_wide_picture_is_that_of_the_third_asked_for():
    """In a picture of three, each subject has a score of its own."""
    individual = sample_individual(3)
    scene = wide_scene(np.random.RandomState(8))
    own = replace(scene.figures[1], class_word=individual.class_word, traits=individual.traits)
    picture = as_batch([render(replace(scene, figures=(scene.figures[0], own, scene.figures[2])))])
    assert identity_score(picture, individual).item() == identity_score(picture, individual, "middle").item() == 1
    assert identity_score(picture, individual, "left").item() < 0.6
