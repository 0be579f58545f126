"""Concept words and superclasses: which texts can be one, and which tokens stand for them."""

from __future__ import annotations

import pytest

from builders.small_vocabularies import pieces


def test_a_superclass_the_vocabulary_does_not_know_is_read_by_its_parts(pack, loaded):
    """Any superclass can be used: there is no list of known words.

    Every text but an empty one has tokens, and the last one is learned.
    """
    known = pack.clip.vocabulary(loaded[1], "l")
    made_up = pack.concept_words.superclass_tokens(known, "zwurbelix")
    assert len(made_up) > 1 and len(pack.concept_words.superclass_tokens(known, "bear")) == 1
    for nothing in ("", "   "):
        with pytest.raises(ValueError, match="expected one or several words, such as 'teddy bear'"):
            pack.concept_words.superclass_tokens(known, nothing)


@pytest.mark.parametrize("add_eos", [False, True])
@pytest.mark.parametrize("add_bos", [False, True])
def test_a_superclass_is_its_own_tokens_whatever_stands_around_every_text(pack, add_bos, add_eos):
    """A start without an end, as Gemma has it, must not take the place of the superclass's last token."""
    from comfy.text_encoders.spiece_tokenizer import SPieceTokenizer

    model = pieces(pad_id=0, eos_id=1, bos_id=2, unk_id=3)
    alone = SPieceTokenizer(model, add_eos=False)("teddy bear")["input_ids"]
    vocabulary = SPieceTokenizer(model, add_bos=add_bos, add_eos=add_eos)
    assert vocabulary("teddy bear")["input_ids"] == [2] * add_bos + alone + [1] * add_eos
    assert pack.concept_words.superclass_tokens(vocabulary, "teddy bear") == alone


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
