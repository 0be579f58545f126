"""The text encoder of the pixel world."""

from __future__ import annotations

import hashlib
from dataclasses import astuple
from itertools import combinations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pixelworld.known import known_individuals
from pixelworld.text_encoder import LENGTH, TextEncoder, layer_weights, position_embedding, token_embedding

WEIGHTS_DIGEST = "64eb5a08bb3b6d39ae020f100b16a5688b29e43a64aef9a97176b19058ec1fb6"
PROMPT = "a photo of a teddy bear wearing a crown at the beach"


@pytest.fixture(scope="module")
def encoder():
    return TextEncoder()


def test_the_weights_are_the_same_everywhere():
    """Every machine reads prompts alike, so figures can be measured again."""
    arrays = [token_embedding(49407), token_embedding(320), position_embedding()]
    arrays += [weight for layer in (0, 1) for weight in layer_weights(layer).values()]
    assert hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest() == WEIGHTS_DIGEST


def test_a_token_sees_only_what_comes_before_it(encoder):
    """The encoder is causal, as CLIP is, which the edit relies on."""
    one, other = encoder.encode(["a photo of a cat at the beach", "a photo of a cat in the snow"])
    assert torch.equal(one[:6], other[:6])
    assert not torch.allclose(one[6:], other[6:], atol=1e-3)


def test_words_differ_at_their_own_place_and_colour_the_later_ones(encoder):
    """A word's meaning spreads over later tokens, as in CLIP, where editing one token alone fails."""
    cat, dog = encoder.encode(["a photo of a cat at the beach", "a photo of a dog at the beach"])
    closeness = F.cosine_similarity(cat, dog, dim=-1)
    assert closeness[5] < 0.5
    assert (closeness[6:] > 0.9).all()
    assert (closeness[6:20] < 0.999).all()


def test_a_name_lies_near_its_class_and_nearer_to_the_names_of_those_that_look_alike(encoder):
    """Words lie as in CLIP: a new concept starts near its superclass."""
    known = known_individuals()

    def closeness(one: str, other: str) -> float:
        return F.cosine_similarity(encoder.word_embedding(one), encoder.word_embedding(other), dim=0).item()

    cats = [name for name, (class_word, _) in known.items() if class_word == "cat"]
    assert all(closeness(name, "cat") > 0.5 > 0.2 > abs(closeness(name, "dog")) for name in cats)
    looks = {name: astuple(known[name][1]) for name in cats}
    shared = {
        (one, other): sum(mine == theirs for mine, theirs in zip(looks[one], looks[other], strict=True))
        for one, other in combinations(cats, 2)
    }
    by_count = [np.mean([closeness(*pair) for pair, same in shared.items() if same == count]) for count in (0, 1, 2)]
    assert by_count[0] < by_count[1] < by_count[2] < 0.9


def test_a_raw_vector_stands_for_a_word(encoder):
    """A learned vector is read exactly as a word would be."""
    words = {"<new>": encoder.word_embedding("bear")}
    assert torch.equal(encoder.encode([PROMPT]), encoder.encode([PROMPT.replace("bear", "<new>")], words))


def test_encodings_are_differentiable_to_a_words_vector(encoder):
    """A word can be learned through the encoder."""
    vector = encoder.word_embedding("cat").requires_grad_()
    encodings = encoder.encode(["a photo of a <new> in space"], {"<new>": vector})
    encodings[0, -1, 0].backward()
    assert vector.grad.abs().max() > 0


def test_a_prompt_is_padded_to_the_full_length_and_its_start_can_be_encoded_alone(encoder):
    """Prompts have the length of Stable Diffusion's, and a short encoding is the start of the long one."""
    assert len(encoder.tokens(PROMPT)) == LENGTH
    short = encoder(encoder.embed(encoder.tokens(PROMPT)[:20])[None])
    assert torch.allclose(short, encoder.encode([PROMPT])[:, :20], atol=1e-5)


def test_an_unknown_word_is_named(encoder):
    """A word that the world does not know is named, and not drawn as something else."""
    with pytest.raises(ValueError, match="no word 'zebra'"):
        encoder.tokens("a photo of a zebra")


def test_a_prompt_that_is_too_long_is_refused(encoder):
    """A prompt is never cut in silence."""
    with pytest.raises(ValueError, match="76 tokens, at most 75"):
        encoder.tokens("cat " * 76)
