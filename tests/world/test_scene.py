"""The renderer, the captions and the first stage of the pixel world."""
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

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
from pixelworld.first_stage import first_stage
from pixelworld.known import NAMES, known_individuals, known_looks
from pixelworld.reader import FigureReading, Reading
from pixelworld.scene import Traits, draw, render, sample_individual, sprite_layers, training_pictures
from pixelworld.text_encoder import VOCABULARY
from pixelworld.train import SHARES, SHORT, CaptionDraw, kind, training_captions
from pixelworld.traits import sample_traits
from pixelworld.world import as_batch, latents_from_pictures, pictures_from_latents


def scenes(n: int, seed: int = 3) -> list:
    rng = np.random.RandomState(seed)
    return [sample_scene(sample_caption(rng), rng) for _ in range(n)]


def enlarged(pictures: torch.Tensor) -> torch.Tensor:
    return pictures.movedim(-1, 1).repeat_interleave(8, 2).repeat_interleave(8, 3)


def test_every_pixel_is_a_palette_level():
    quarters = 4 * np.stack([render(scene) for scene in scenes(100)])
    assert np.array_equal(quarters, quarters.round())
    assert quarters.min() == 0 and quarters.max() == 4


def test_sprites_are_of_one_size_and_carry_both_colours_and_both_marks():
    for rows in art.SPRITES.values():
        assert len(rows) == art.SPRITE_HEIGHT and {len(row) for row in rows} == {art.SPRITE_WIDTH}
        assert set("12mn") <= set("".join(rows))


@pytest.mark.parametrize("word", art.SPRITES)
def test_every_trait_changes_the_sprite(word):
    traits = Traits("red", "blue", "plain", "none")
    plain = sprite_layers(word, traits)[0]
    changes = [{"first": "green"}, {"second": "green"}, {"mark": "blaze"}, {"mark": "badge"}]
    changes += [{"pattern": pattern} for pattern in art.PATTERNS[1:]]
    others = [sprite_layers(word, replace(traits, **change))[0] for change in changes]
    for index, one in enumerate([plain, *others]):
        assert not any(np.array_equal(one, other) for other in others[index:])


def test_a_scene_has_what_its_caption_names():
    rng = np.random.RandomState(11)
    for caption in (sample_caption(rng) for _ in range(200)):
        scene = sample_scene(caption, rng)
        found = [FigureReading(f.class_word, f.position, f.accessory, f.traits, (0, 0)) for f in scene.figures]
        assert all(judge(caption, Reading(tuple(found), scene.place, scene.object, scene.object_colour)).values())


def test_a_caption_says_of_both_figures_where_they_are():
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
    rng = np.random.RandomState(14)
    scenes = [sample_scene(Caption("cat", partner="dog"), rng) for _ in range(400)]
    assert abs(np.mean([scene.figures[0].position == "left" for scene in scenes]) - FIRST_ON_LEFT) < 0.06


def test_training_draws_threes_when_asked_and_never_else():
    captions = training_captions()
    draw_captions, rng = CaptionDraw(captions), np.random.RandomState(0)
    assert all(captions[index].third for index in draw_captions(200, rng, threes=True))
    assert not any(captions[index].third for index in draw_captions(200, rng))


def test_training_draws_every_kind_of_caption_in_its_share():
    captions = training_captions()
    chosen = CaptionDraw(captions)(4000, np.random.RandomState(0))
    found = Counter(kind(captions[index]) for index in chosen)
    assert all(abs(found[name] / 4000 - share) < 0.03 for name, share in SHARES.items())
    lengths = [len(caption.text().split()) for caption in captions]
    assert max(lengths) <= SHORT - 2


def test_a_known_individual_has_its_own_look_in_every_scene_that_names_it():
    rng = np.random.RandomState(11)
    captions = [sample_caption(rng, known=0.9) for _ in range(200)]
    named = [
        (figure, name)
        for caption in captions
        for figure, name in zip(sample_scene(caption, rng).figures, (caption.name, caption.partner_name), strict=False)
        if name
    ]
    assert len(named) > 150
    assert all((figure.class_word, figure.traits) == known_individuals()[name] for figure, name in named)
    assert all((caption.name or caption.class_word) in caption.text() for caption in captions)


def test_known_individuals_show_every_trait_about_equally_often_in_every_class():
    for class_word, names in NAMES.items():
        looks = [known_individuals()[name][1] for name in names]
        for trait in ("first", "second"):
            assert set(Counter(getattr(look, trait) for look in looks).values()) == {2}, class_word
        assert set(Counter(look.pattern for look in looks).values()) == {4}
        assert set(Counter(look.mark for look in looks).values()) <= {4, 5, 6}


def test_no_individual_to_be_taught_is_known():
    taught = [sample_individual(seed, word) for seed in range(100) for word in NAMES]
    assert not {(who.class_word, who.traits) for who in taught} & known_looks()
    free = {sample_traits(np.random.RandomState(seed)) for seed in range(500)}
    assert {traits for word, traits in known_looks()} & free


def test_captions_name_no_trait():
    traits = {*art.BODY_COLOURS, *art.PATTERNS, *art.MARKS} - {*art.NAMED_COLOURS}
    assert not traits & set(all_words())


def test_every_word_of_a_caption_is_one_token():
    assert {len(VOCABULARY[word]) for word in all_words()} == {1}


def test_training_pictures_share_place_and_position_and_differ():
    individual = sample_individual(5)
    pictures = training_pictures(individual, n=5)
    assert {(p.scene.place, p.scene.figures[0].position) for p in pictures} == {(individual.place, individual.position)}
    assert len({p.pixels.tobytes() for p in pictures}) == 5
    assert training_pictures(individual)[2].pixels.tobytes() == pictures[2].pixels.tobytes()


def test_the_subject_mask_covers_the_body_and_falls_off_around_it():
    picture = training_pictures(sample_individual(5))[0]
    body = draw(picture.scene).body_masks[0]
    assert (picture.mask[body] == 1).all() and set(np.unique(picture.mask)) == {0, 0.5, 1}
    assert picture.mask.mean() < 0.5


def test_latents_and_pictures_are_inverse():
    pictures = as_batch([render(scene) for scene in scenes(20)])
    assert torch.equal(pictures_from_latents(latents_from_pictures(pictures)), pictures)


def test_the_first_stage_decodes_pixel_art_exactly_and_encodes_it_back():
    encoder, decoder = first_stage()
    pictures = as_batch([render(scene) for scene in scenes(4)])
    latents = latents_from_pictures(pictures)
    assert (decoder(latents) - enlarged(pictures)).abs().max() < 1e-6
    assert (encoder(enlarged(pictures)) - latents).abs().max() < 1e-6


def test_the_first_stage_follows_any_latent_closely_and_clamps():
    _, decoder = first_stage()
    latents = 1.5 * torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    error = (decoder(latents) - enlarged(pictures_from_latents(latents))).abs().max()
    assert 1e-6 < error < 1e-3
