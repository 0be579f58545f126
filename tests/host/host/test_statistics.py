"""Text statistics on the host's own text encoders, in this process: what is left out of the work changes nothing."""

from __future__ import annotations

import pytest
import torch

from builders.narrow_clip import FAMILIES, narrow_clip
from perfusion_ops.text.captions import captions as shipped_captions
from perfusion_ops.text.covariance import TokenKind, UncenteredCovariance

PADDED, BATCH = 6, 4
CAPTIONS = [*shipped_captions(24, seed=3), "words " * 90, "a"]


@pytest.fixture(scope="module", params=FAMILIES)
def clip(request, pack):
    return narrow_clip(request.param)


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


def test_statistics_are_of_the_layer_that_the_clip_is_read_at(pack, loaded, monkeypatch, tmp_path):
    """With CLIP Set Last Layer a prompt is encoded otherwise: another layer's statistics would be another metric."""
    monkeypatch.setattr(pack.folders, "statistics_folder", lambda: tmp_path)
    monkeypatch.setattr(pack.statistics, "PADDED_CAPTIONS", 1)
    captions, skipping = CAPTIONS[:2], loaded[1].clone()
    skipping.clip_layer(-2)
    first, other = (pack.statistics.measured(clip, captions) for clip in (loaded[1], skipping))
    again = [pack.statistics.measured(clip, captions) for clip in (loaded[1], skipping)]
    assert [each.fingerprint for each in again] == [first.fingerprint, other.fingerprint]
    with torch.inference_mode():
        ends = [skipping.encode_from_tokens(skipping.tokenize(caption)) for caption in captions]
    starts = torch.stack([encoded[0, 0] for encoded in ends]).double().cpu()
    torch.testing.assert_close(other.sums[TokenKind.START], starts.mT @ starts, rtol=1e-4, atol=1e-4)
    assert relative(first.sums[TokenKind.START], other.sums[TokenKind.START]) > 1e-2


def test_read_only_models_cost_no_training(pack, monkeypatch, tmp_path):
    """On a server whose models are read-only, statistics are kept in the output folder, and found there again."""
    import folder_paths

    statistics = UncenteredCovariance(3, "encoder", "corpus")
    (tmp_path / "models").write_text("no folder")
    monkeypatch.setattr(pack.folders, "statistics_folder", lambda: tmp_path / "models" / "perfusion_statistics")
    monkeypatch.setattr(folder_paths, "get_output_directory", lambda: str(tmp_path / "output"))
    kept = pack.statistics._kept("encoder", ["a cat"], lambda: statistics)
    assert kept.fingerprint == statistics.fingerprint
    [file] = (tmp_path / "output" / "perfusion_statistics").iterdir()
    assert file.name.startswith("encoder_")
    pack.statistics._kept("encoder", ["a cat"], lambda: pytest.fail("measured again"))
    (tmp_path / "output" / "perfusion_statistics" / file.name).unlink()
    monkeypatch.setattr(folder_paths, "get_output_directory", lambda: str(tmp_path / "models"))
    with pytest.raises(ValueError, match="could not be made"):
        pack.statistics._kept("encoder", ["a cat"], lambda: statistics)


def test_a_model_that_needs_no_statistics_is_told(pack, loaded, monkeypatch):
    """Who connects Z-Image reads that this node is not for it, and nothing of attributes."""
    family = next(family for family in pack.family.FAMILIES if family.name == "zimage")
    monkeypatch.setattr(pack.statistics, "family_of", lambda _model: family)
    with pytest.raises(ValueError, match="Z-Image learns by the position gate alone, which needs no text statistics"):
        pack.statistics.measured(loaded[1], ["a cat"], object())
