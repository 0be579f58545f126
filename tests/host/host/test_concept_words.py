"""Concept words: which texts can be one."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("word", ["", "  ", "(teddy)", "a:b", "embedding:x", "a,b"])
def test_words_that_no_prompt_can_hold_are_refused(pack, word):
    """A word that a prompt would read as its own syntax is refused before training, and not after."""
    with pytest.raises(ValueError, match="expected a word without brackets"):
        pack.concept_words.check_concept_word(word)


@pytest.mark.parametrize("word", ["\u200b", "\ufeff\u200d", "\u3164", "\u0301", "\u0301teddy", "\u093fक"])
def test_words_that_no_reader_can_see_or_write_alone_are_refused(pack, word):
    """A word of characters that show nothing is refused: nobody could write it in a prompt."""
    with pytest.raises(ValueError, match="which no prompt can name"):
        pack.concept_words.check_concept_word(word)


@pytest.mark.parametrize("word", ["小猫", "teddy_t", "café", "แมว", "🧸", "my cup", "l\u2019ours"])
def test_words_of_every_script_are_taken(pack, word):
    """A concept word may be of any script."""
    assert pack.concept_words.check_concept_word(word) == word
