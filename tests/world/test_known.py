"""The individuals that the pixel world knows by name, and the ones that nobody has taught it."""

from __future__ import annotations

from collections import Counter

import numpy as np

from pixelworld.captions import sample_caption, sample_scene
from pixelworld.known import NAMES, known_individuals, known_looks
from pixelworld.scene import sample_individual
from pixelworld.traits import sample_traits


def test_a_known_individual_has_its_own_look_in_every_scene_that_names_it():
    """The world knows individuals by name, as Stable Diffusion knows famous ones."""
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
    """No trait comes easier to a subject because the world has seen it more."""
    for class_word, names in NAMES.items():
        looks = [known_individuals()[name][1] for name in names]
        for trait in ("first", "second"):
            assert set(Counter(getattr(look, trait) for look in looks).values()) == {2}, class_word
        assert set(Counter(look.pattern for look in looks).values()) == {4}
        assert set(Counter(look.mark for look in looks).values()) <= {4, 5, 6}


def test_no_individual_to_be_taught_is_known():
    """The proof teaches subjects that the world has never seen."""
    taught = [sample_individual(seed, word) for seed in range(100) for word in NAMES]
    assert not {(who.class_word, who.traits) for who in taught} & known_looks()
    free = {sample_traits(np.random.RandomState(seed)) for seed in range(500)}
    assert {traits for word, traits in known_looks()} & free
