"""The concept under other packs' ways to encode a prompt."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from builders.narrow_clip import narrow_clip
from builders.prompt_packs import PATTERNS


@pytest.fixture(scope="module", params=["sd1", "sdxl"])
def clips(request, pack, pack_concept):
    """The host's CLIP with narrow encoders, and the clone of it that knows ``teddy_t``."""
    import comfy.sd
    from comfy.model_patcher import ModelPatcher

    narrow, clip = narrow_clip(request.param), comfy.sd.CLIP(no_init=True)
    clip.cond_stage_model, clip.tokenizer, clip.layer_idx = narrow.cond_stage_model, narrow.tokenizer, None
    clip.use_clip_schedule, clip.apply_hooks_to_conds, clip.tokenizer_options = False, None, {}
    cpu = torch.device("cpu")
    clip.patcher = ModelPatcher(clip.cond_stage_model, load_device=cpu, offload_device=cpu)
    concept = pack_concept("teddy_t", "bear", 1, request.param)
    widths = {name: torch.ones(64) for name in concept.word_embeddings}
    narrow_concept = dataclasses.replace(concept, word_embeddings=widths)
    return clip, pack.clip.clip_with_concept(clip, narrow_concept, 1.0, pack.ops.KeyLocking.LOCAL)


@pytest.mark.parametrize("encode", PATTERNS, ids=lambda pattern: pattern.__name__)
def test_a_prompt_keeps_its_concept_however_it_is_encoded(pack, clips, encode):
    """Other packs' prompt nodes encode the concept with its full effect, and leave prompts without it to the bit."""
    clip, known = clips
    held, _ = encode(known, "a photo of a (teddy_t:1.2) on a (red:0.8) beach")
    assert held.words == {"teddy_t"} and pack.conditioning.rows_with_concepts(held).any()
    superclass, _ = encode(clip, "a photo of a (bear:1.2) on a (red:0.8) beach")
    assert not torch.equal(pack.encoded_prompt.plain(held), superclass)
    for ours, theirs in zip(encode(known, "a photo of a bear"), encode(clip, "a photo of a bear"), strict=True):
        assert type(ours) is torch.Tensor and torch.equal(ours, theirs)
