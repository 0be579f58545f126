"""The captions of the pixel world: a scene shows what its caption names, and captions are drawn in known shares."""

from __future__ import annotations

from collections import Counter

import numpy as np

from pixelworld import art
from pixelworld.captions import (
    FIRST_ON_LEFT,
    OPPOSITE,
    Caption,
    all_words,
    sample_caption,
    sample_scene,
    sample_three,
    with_positions,
)
from pixelworld.evaluate import judge
from pixelworld.reader import FigureReading, Reading
from pixelworld.scene import render
from pixelworld.text_encoder import VOCABULARY
from pixelworld.train import SHARES, SHORT, CaptionDraw, kind, training_captions


def test_a_scene_has_what_its_caption_names():
    """The world is trained on true captions."""
    rng = np.random.RandomState(11)
    for caption in (sample_caption(rng) for _ in range(200)):
        scene = sample_scene(caption, rng)
        found = [FigureReading(f.class_word, f.position, f.accessory, f.traits, (0, 0)) for f in scene.figures]
        assert all(judge(caption, Reading(tuple(found), scene.place, scene.object, scene.object_colour)).values())


def test_a_caption_says_of_both_figures_where_they_are():
    """Two subjects in one picture can each be asked for a place."""
    rng = np.random.RandomState(12)
    pairs = with_positions(sample_caption(rng, known=0.5) for _ in range(400))
    assert len(pairs) > 60 and {caption.position for caption in pairs} == {"left", "right"}
    for caption in pairs:
        scene, text = sample_scene(caption, rng), caption.text("<one>", "<two>")
        assert [figure.position for figure in scene.figures] == [caption.position, OPPOSITE[caption.position]]
        first, second = text.split(" and a ")
        assert first.startswith(f"{caption.opening} <one>") and first.endswith(f" on the {caption.position}")
        assert second.startswith(f"<two> on the {OPPOSITE[caption.position]}")


def test_a_caption_of_three_says_of_all_where_they_are_or_of_none():
    """Three subjects in one picture can each be asked for a place."""
    rng = np.random.RandomState(13)
    captions = [sample_three(rng, known=0.5) for _ in range(200)]
    assert {caption.position for caption in captions} == {None, "left", "right"}
    for caption in captions:
        scene, text = sample_scene(caption, rng), caption.text("<one>", "<two>", "<three>")
        words = [word for word, _ in caption.figures()]
        assert len(set(words)) == 3 and [figure.class_word for figure in scene.figures] == words
        assert scene.width == art.WIDE and render(scene).shape == (art.SIZE, art.WIDE, 3)
        first, last = scene.figures[0].position, scene.figures[2].position
        assert [figure.position for figure in scene.figures] == [first, "middle", OPPOSITE[first]]
        where = [f" on the {first}", " in the middle", f" on the {last}"] if caption.position else ["", "", ""]
        named = [f"{word}{at}" for word, at in zip(("<one>", "<two>", "<three>"), where, strict=True)]
        assert text.startswith(f"{caption.opening} " + " and a ".join(named))


def test_the_first_of_two_figures_stands_on_the_left_more_often():
    """Where a prompt says nothing of places, figures stand as they do in real pictures: in the order they are named."""
    rng = np.random.RandomState(14)
    scenes = [sample_scene(Caption("cat", partner="dog"), rng) for _ in range(400)]
    assert abs(np.mean([scene.figures[0].position == "left" for scene in scenes]) - FIRST_ON_LEFT) < 0.06


def test_training_draws_threes_when_asked_and_never_else():
    """A picture of three is wider, and never trained on with the others."""
    captions = training_captions()
    draw_captions, rng = CaptionDraw(captions), np.random.RandomState(0)
    assert all(captions[index].third for index in draw_captions(200, rng, threes=True))
    assert not any(captions[index].third for index in draw_captions(200, rng))


def test_training_draws_every_kind_of_caption_in_its_share():
    """The world learns each kind of caption as much as was chosen."""
    captions = training_captions()
    chosen = CaptionDraw(captions)(4000, np.random.RandomState(0))
    found = Counter(kind(captions[index]) for index in chosen)
    assert all(abs(found[name] / 4000 - share) < 0.03 for name, share in SHARES.items())
    lengths = [len(caption.text().split()) for caption in captions]
    assert max(lengths) <= SHORT - 2


def test_captions_name_no_trait():
    """A subject's traits can only be learned from its pictures: no caption gives them away."""
    traits = {*art.BODY_COLOURS, *art.PATTERNS, *art.MARKS} - {*art.NAMED_COLOURS}
    assert not traits & set(all_words())


def test_every_word_of_a_caption_is_one_token():
    """Each word has an encoding of its own, as the measures of words assume."""
    assert {len(VOCABULARY[word]) for word in all_words()} == {1}
