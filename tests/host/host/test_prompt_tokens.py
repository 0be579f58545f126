"""The names of a prompt's tokens, in vocabularies of every kind: CLIP's, T5's and Qwen's."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

import pytest

VOCABULARIES = {
    "l": ("comfy.sd1_clip", "SDTokenizer"),
    "qwen3_06b": ("comfy.text_encoders.anima", "Qwen3Tokenizer"),
    "t5xxl": ("comfy.text_encoders.cosmos", "T5XXLTokenizer"),
}
PROMPT = "a photo of a my_teddy, caf\u00e9"


@pytest.fixture(scope="module", params=VOCABULARIES)
def clip(pack, request):
    """A CLIP of one tokenizer that knows ``my_teddy`` for ``teddy bear``, by its position."""
    module, kind = VOCABULARIES[request.param]
    tokenizers = type("Tokenizers", (), {})()
    setattr(tokenizers, request.param, getattr(importlib.import_module(module), kind)())
    clip = SimpleNamespace(tokenizer=tokenizers, cond_stage_model=SimpleNamespace(**{request.param: 0}))
    word = pack.concept_words.ConceptWord("my_teddy", "teddy bear", marked=True, naming=pack.naming.Naming("my_teddy"))
    setattr(tokenizers, request.param, pack.clip.tokenizer_knowing(clip, request.param, [word]))
    return clip


def read(pack, clip, left_out: int = 0):
    (name,) = vars(clip.tokenizer)
    tokenized = {name: getattr(clip.tokenizer, name).tokenize_with_weights(PROMPT)}
    return pack.prompt_tokens.prompt_tokens(clip, tokenized, sum(map(len, tokenized[name])) - left_out)


def test_a_reader_finds_the_words_of_the_prompt(pack, clip):
    """Whatever a vocabulary makes of spaces and letters, the words are the user's, and the superclass's are marked."""
    words = [token for token in read(pack, clip) if token.kind == 1]
    labels = [token.label.removeprefix("my_teddy:") for token in words]
    assert "".join(label for label in labels if not label.startswith("#")) == "aphotoofateddybear,caf\u00e9"
    named = [token.label for token in words if token.word == "my_teddy"]
    assert all(label.startswith("my_teddy:") for label in named)
    assert "".join(label.removeprefix("my_teddy:") for label in named if ":#" not in label) == "teddybear"


def test_what_a_template_puts_before_the_prompt_is_left_out_in_front(pack, clip):
    """A text encoder that cuts its template off still has each number below its own word."""
    assert read(pack, clip, left_out=2) == read(pack, clip)[2:]


def test_what_a_reader_without_an_end_token_pads_with_is_padding(pack):
    """Flux.2 Klein fills a prompt up to 512 tokens: they are one cell of the picture, and not five hundred."""
    flux = pytest.importorskip("comfy.text_encoders.flux")
    if not hasattr(flux, "Qwen3Tokenizer"):
        pytest.skip("this ComfyUI has no Klein")
    tokenizer = flux.Qwen3Tokenizer()
    clip = SimpleNamespace(tokenizer=SimpleNamespace(qwen3_4b=tokenizer), cond_stage_model=SimpleNamespace(qwen3_4b=0))
    tokens = pack.prompt_tokens.prompt_tokens(clip, {"qwen3_4b": tokenizer.tokenize_with_weights(PROMPT)}, 512)
    labels = [token.label for token in tokens]
    words = labels.index("<padding>")
    assert len(tokens) == 512 and 5 < words < 20
    assert set(labels[words:]) == {"<padding>"} and "<padding>" not in labels[:words]


def test_what_a_network_pads_with_is_padding(pack, clip):
    """Tokens that no prompt holds are not taken for words."""
    assert [token.label for token in read(pack, clip, left_out=-3)][-3:] == ["<padding>"] * 3
