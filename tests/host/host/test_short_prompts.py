"""Captions encoded no further than their end: how much work is left, and that encoding is whole again afterwards."""

from __future__ import annotations

import pytest
import torch

from builders.narrow_clip import FAMILIES, narrow_clip
from perfusion_ops.text.captions import captions as shipped_captions

PADDED, BATCH = 6, 4
CAPTIONS = [*shipped_captions(24, seed=3), "words " * 90, "a"]


@pytest.fixture(scope="module", params=FAMILIES)
def clip(request, pack):
    return narrow_clip(request.param)


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
    assert ((cut - before[:, :30]).norm() / before[:, :30].norm()).item() < 1e-5
