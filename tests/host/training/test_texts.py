"""Captions as people write them: each names the subject once, by whatever name."""

from __future__ import annotations

import pytest

CAPTIONS = ["my {} outside", "sks on a bed", "the sks teddy bear", "a Teddy bear's nose", "", "two\nlines of sks"]


def test_a_caption_names_the_subject_by_braces_word_or_superclass(pack):
    """Captions written by hand or by another model can be used as they are; a picture without one has templates."""
    assert pack.texts.captions_of(CAPTIONS, 6, "sks", "teddy bear") == (
        *("my {} outside", "{} on a bed", "the {}", "a {}'s nose"),
        *("", "two lines of {}"),
    )


def test_lines_of_a_single_text_are_captions_and_empty_ones_are_none(pack):
    """The widget's lines are captions; a folder without any trains on templates."""
    assert pack.texts.captions_of(["a {}\n\nthe {} here\n"], 2, "sks", "dog") == ("a {}", "the {} here")
    assert pack.texts.captions_of([""], 1, "sks", "dog") == pack.texts.captions_of(["", " "], 2, "sks", "dog") == ()


@pytest.mark.parametrize("wrong", ["a {} and a {}", "a dog on a dog bed", "a puppy", "the sks with sks"])
def test_a_caption_that_does_not_name_the_subject_once_is_shown(pack, wrong):
    """Who has a caption without the subject reads which one, and how many there are."""
    with pytest.raises(ValueError) as caught:
        pack.texts.captions_of(["a dog", wrong, "nothing"], 3, "sks", "dog")
    assert str(caught.value) == (
        f"Caption 2, {wrong!r}, does not name the subject exactly once: write {{}}, 'sks' or 'dog' in its place. 2 "
        "captions are like it."
    )


def test_captions_and_pictures_must_be_as_many(pack):
    """Captions never stand by the wrong pictures."""
    with pytest.raises(ValueError, match="There are 3 pictures and 2 captions; expected one for each"):
        pack.texts.captions_of(["a {}", ""], 3, "sks", "dog")
