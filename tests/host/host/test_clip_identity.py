"""A CLIP is known by its own weights, whatever clone of it the host used last."""

from __future__ import annotations

import pytest
import torch

TABLE = "clip_l.transformer.text_model.embeddings.token_embedding.weight"
LAYER = "clip_l.transformer.text_model.encoder.layers.0.mlp.fc1.weight"


@pytest.fixture
def merged(loaded):
    """A merge of the small CLIP with another one, as CLIPMergeSimple makes it."""
    from comfy_extras.nodes_model_merging import CLIPMergeSimple

    clip = loaded[1]
    other = clip.clone()
    own = clip.patcher.model_state_dict()[TABLE]
    other.add_patches({TABLE: (torch.randn(own.shape, generator=torch.Generator().manual_seed(3)),)})
    (merge,) = CLIPMergeSimple().merge(clip, other, 0.5)
    yield merge
    clip.load_model()


def test_a_merged_clip_has_an_identity_of_its_own_loaded_or_not(pack, loaded, merged):
    """Who trains on a merge and draws with it is not told of another text encoder, and who draws without it is."""
    identity = pack.clip_identity.identity_of
    loaded[1].load_model()
    before = identity(merged)
    merged.load_model()
    assert pack.clip_identity._found(merged) == before
    assert pack.clip_identity._found(loaded[1]) == identity(loaded[1]) != before


def test_an_identity_is_the_one_that_files_have(pack, loaded, clip_identity):
    """Concepts that were trained before are known as before."""
    assert pack.clip_identity.identity_of(loaded[1]) == clip_identity


def test_what_decides_a_training_is_not_what_another_clone_left_in_memory(pack, loaded):
    """A training is found again on disk after a picture with a LoRA, and not begun anew."""
    identity = pack.statistics.text_identity
    clip = loaded[1]
    own = clip.patcher.model_state_dict()[LAYER]
    lora = clip.clone()
    lora.add_patches({LAYER: (torch.ones_like(own),)})
    clip.load_model()
    plain, patched = identity(clip), identity(lora)
    lora.load_model()
    assert identity(clip) == plain != patched
    clip.load_model()
    assert identity(lora) == patched
    clip.load_model()
