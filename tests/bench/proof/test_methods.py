"""How each method of the proof writes its word into a prompt."""

from __future__ import annotations

import pytest
import torch

from pixelworld.once import the_world
from proof.methods import Taught, encode, learned_words, spelled
from proof.specs import CLASSES, RESIDUAL, WORD, Dial, Learning, Subject


@pytest.mark.parametrize("method", [WORD, RESIDUAL])
def test_learned_words_stand_where_the_prompt_names_them_each_after_its_class_s_first_words(method):
    """Every method is given the same prompts, with its word in the same place."""
    bear = next(index for index, word in enumerate(CLASSES) if " " in word)
    vectors = torch.randn(2, 768)
    taught = [
        Taught(Learning(method, Subject(index)), {"word": vector}, word)
        for index, vector, word in zip((bear, 0), vectors, ("<one>", "<two>"), strict=True)
    ]
    texts = spelled(taught, ["a photo of a <two> and a <one>", "a photo of a <one>"])
    assert texts[1] == f"a photo of a {CLASSES[bear].split()[0]} <one>"
    words = learned_words(taught, Dial(strength=0.5))
    plain = the_world().text_encoder.word_embedding(CLASSES[0].split()[-1])
    expected = (plain + vectors[1]) / 2 if method == WORD else vectors[1]
    assert torch.allclose(words["<two>"], expected, atol=1e-6)
    _, positions = encode(texts, words)
    assert positions.nonzero().tolist() == [[0, 5, 1], [0, 9, 0], [1, 6, 0]]
