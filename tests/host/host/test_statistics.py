"""Text statistics on the host's own text encoders, in this process: what is left out of the work changes nothing."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from perfusion_ops.text.captions import captions as shipped_captions
from perfusion_ops.text.covariance import TokenKind, UncenteredCovariance

SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_hidden_layers": 3}
PADDED, BATCH = 6, 4
CAPTIONS = [*shipped_captions(24, seed=3), "words " * 90, "a"]


@pytest.fixture(scope="module", params=["sd1", "sd2", "sdxl"])
def clip(request, comfyui_path, pack):
    """A CLIP of the host's own classes and vocabularies, with few and narrow layers of random weights."""
    from comfy import sd1_clip, sdxl_clip
    from comfy.text_encoders import sd2_clip

    model, tokenizer = {
        "sd1": (sd1_clip.SD1ClipModel, sd1_clip.SD1Tokenizer),
        "sd2": (sd2_clip.SD2ClipModel, sd2_clip.SD2Tokenizer),
        "sdxl": (sdxl_clip.SDXLClipModel, sdxl_clip.SDXLTokenizer),
    }[request.param]
    sizes = {f"clip_{name}_model_config": SMALL for name in "lhg"}
    encoder = model(device="cpu", dtype=torch.float32, model_options=sizes)
    torch.manual_seed(0)
    for parameter in encoder.parameters():
        parameter.data.normal_(std=0.1)
    patcher = SimpleNamespace(load_device=torch.device("cpu"))
    return SimpleNamespace(tokenizer=tokenizer(), cond_stage_model=encoder, layer_idx=None, patcher=patcher)


@pytest.fixture(scope="module")
def whole(pack, clip):
    """``whole(captions)``: statistics of captions encoded to their full length."""

    def measure(captions: list[str]) -> UncenteredCovariance:
        encodings, kinds = pack.encoders.encode_captions(clip, captions)
        statistics = UncenteredCovariance(encodings.shape[-1])
        statistics.update(encodings, kinds)
        return statistics

    return measure


@pytest.fixture
def measured(pack, clip, monkeypatch):
    monkeypatch.setattr(pack.statistics, "PADDED_CAPTIONS", PADDED)
    monkeypatch.setattr(pack.statistics, "BATCH", BATCH)
    return pack.statistics._measure(clip, CAPTIONS, "encoder")


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return ((found - expected).norm() / expected.norm()).item()


def test_words_and_ends_count_as_in_full_length(measured, whole):
    """Statistics that stop at each caption's end are those of the whole prompts, in a quarter of the time."""
    expected = whole(CAPTIONS)
    for kind in (TokenKind.START, TokenKind.WORD, TokenKind.END):
        assert measured.counts[kind] == expected.counts[kind] > 0
        assert relative(measured.sums[kind], expected.sums[kind]) < 1e-5, kind.name
    other = whole(CAPTIONS[1:])
    assert relative(other.sums[TokenKind.WORD], expected.sums[TokenKind.WORD]) > 1e-3


def test_padding_is_that_of_a_spread_sample_in_full_length(measured, whole):
    """Padding, most of a prompt, is measured over captions of all lengths."""
    sample = whole([CAPTIONS[number * len(CAPTIONS) // PADDED] for number in range(PADDED)])
    assert measured.counts[TokenKind.PADDING] == sample.counts[TokenKind.PADDING] > 0
    assert relative(measured.sums[TokenKind.PADDING], sample.sums[TokenKind.PADDING]) < 1e-5
    first = whole(CAPTIONS[:PADDED])
    assert relative(first.sums[TokenKind.PADDING], sample.sums[TokenKind.PADDING]) > 1e-5


def test_little_is_encoded_beyond_the_captions(pack, clip):
    """Measuring does not take the hours that whole prompts would."""
    batches = pack.short_prompts.batches(clip, CAPTIONS, PADDED, BATCH)
    assert sorted(caption for captions, _ in batches for caption in captions) == sorted(CAPTIONS)
    work = sum(len(captions) * (tokens or 77) for captions, tokens in batches)
    assert work < 77 * len(CAPTIONS) / 2


def test_encoding_is_whole_again_afterwards(pack, clip):
    """After a measurement, and after a failed one, prompts are encoded in full."""
    before, _ = pack.encoders.encode_captions(clip, CAPTIONS[:2])
    with pytest.raises(RuntimeError, match="on purpose"), pack.short_prompts.cut_after(clip, 30):
        cut, _ = pack.encoders.encode_captions(clip, CAPTIONS[:2])
        raise RuntimeError("on purpose")
    after, _ = pack.encoders.encode_captions(clip, CAPTIONS[:2])
    assert cut.shape[1] == 30 and torch.equal(after, before)
    assert relative(cut, before[:, :30]) < 1e-5
