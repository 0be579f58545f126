"""Superclasses as vocabularies read them, and words in those that read a prompt as a whole: Qwen's and T5's."""

from __future__ import annotations

import importlib

import pytest
import torch

from builders.small_vocabularies import pieces

VOCABULARIES = {
    "qwen3_06b": ("comfy.text_encoders.anima", "Qwen3Tokenizer"),
    "t5xxl": ("comfy.text_encoders.cosmos", "T5XXLTokenizer"),
}
PROMPTS = ("my_teddy", "a photo of a my_teddy, at sea", "My_Teddy's hat", "(a big my_teddy:1.3) sits", "two\nmy_teddy.")
PROMPTS += ("a toy:my_teddy", '"my_teddy"/my_teddy')


@pytest.fixture(scope="module", params=VOCABULARIES)
def reader(pack, request):
    module, kind = VOCABULARIES[request.param]
    return request.param, getattr(importlib.import_module(module), kind)()


def reading(pack, reader, **facts):
    """The tokenizer with the word ``my_teddy`` for ``teddy bear``."""
    name, tokenizer = reader
    word = pack.concept_words.ConceptWord("my_teddy", "teddy bear", **facts)
    clip = type("Clip", (), {"tokenizer": type("Tokenizers", (), {name: tokenizer})()})()
    return pack.clip.tokenizer_knowing(clip, name, [word])


def rows(tokenizer, text: str) -> list:
    return [token for token, _ in tokenizer.tokenize_with_weights(text)[0]]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_prompt_reads_as_the_superclass_prompt_and_marks_its_words(pack, reader, prompt):
    """The keys are the superclass prompt's only if every token is: a space too much would make another word of it."""
    name, tokenizer = reader
    superclass = prompt.replace("my_teddy", "teddy bear").replace("My_Teddy", "teddy bear")
    found, plain = rows(reading(pack, reader, marked=True), prompt), rows(tokenizer, superclass)
    assert found == plain
    marked = [token for token in found if isinstance(token, pack.concept_words.MarkedId)]
    named = tokenizer.tokenizer.decode([int(token) for token in marked]).replace(" ", "")
    assert named == "teddybear" * prompt.lower().count("my_teddy")
    assert rows(reading(pack, reader, marked=True), "a dog") == rows(tokenizer, "a dog")


def test_the_learned_vector_takes_the_place_of_the_last_token(pack, reader):
    """The concept is heard where the superclass's last token was; another encoder's vocabulary only marks the place."""
    name, tokenizer = reader
    found = rows(reading(pack, reader, embeddings={name: torch.ones(4)}), PROMPTS[1])
    plain = rows(tokenizer, PROMPTS[1].replace("my_teddy", "teddy bear"))
    (place,) = [n for n, token in enumerate(found) if isinstance(token, torch.Tensor)]
    assert found[place].superclass_id == plain[place] and found[place].as_subclass(torch.Tensor).tolist() == [1] * 4
    assert found[:place] == plain[:place] and found[place + 1 :] == plain[place + 1 :]
    beside = rows(reading(pack, reader, embeddings={"another": torch.ones(4)}), PROMPTS[1])
    last = [n for n, token in enumerate(beside) if isinstance(token, pack.concept_words.MarkedId)][-1]
    assert beside == plain and last == place


def test_a_superclass_the_vocabulary_does_not_know_is_read_by_its_parts(pack, loaded):
    """Any superclass can be used: there is no list of known words.

    Every text but an empty one has tokens, and the last one is learned.
    """
    known = pack.clip.vocabulary(loaded[1], "l")
    made_up = pack.vocabularies.superclass_tokens(known, "zwurbelix")
    assert len(made_up) > 1 and len(pack.vocabularies.superclass_tokens(known, "bear")) == 1
    for nothing in ("", "   "):
        with pytest.raises(ValueError, match="expected one or several words, such as 'teddy bear'"):
            pack.vocabularies.superclass_tokens(known, nothing)


@pytest.mark.parametrize("add_eos", [False, True])
@pytest.mark.parametrize("add_bos", [False, True])
def test_a_superclass_is_its_own_tokens_whatever_stands_around_every_text(pack, add_bos, add_eos):
    """A start without an end, as Gemma has it, must not take the place of the superclass's last token."""
    from comfy.text_encoders.spiece_tokenizer import SPieceTokenizer

    model = pieces(pad_id=0, eos_id=1, bos_id=2, unk_id=3)
    alone = SPieceTokenizer(model, add_eos=False)("teddy bear")["input_ids"]
    vocabulary = SPieceTokenizer(model, add_bos=add_bos, add_eos=add_eos)
    assert vocabulary("teddy bear")["input_ids"] == [2] * add_bos + alone + [1] * add_eos
    assert pack.vocabularies.superclass_tokens(vocabulary, "teddy bear") == alone
