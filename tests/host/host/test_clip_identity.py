"""A CLIP is known by its own weights, whatever clone of it the host used last."""

from __future__ import annotations

import copy
import dataclasses

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


COPIES = [torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2]


@pytest.fixture
def clip_in(loaded):
    """``clip_in(dtype, change)``: a CLIP of its own whose weights were stored in ``dtype``, with ``change`` added."""

    from comfy.model_patcher import ModelPatcher

    def make(dtype: torch.dtype = torch.float32, change: float = 0.0):
        clip = copy.copy(loaded[1])
        clip.cond_stage_model = copy.deepcopy(clip.cond_stage_model)
        for parameter in clip.cond_stage_model.parameters():
            parameter.data = (parameter.data + change).to(dtype).to(parameter.dtype)
        clip.patcher = ModelPatcher(clip.cond_stage_model, torch.device("cpu"), torch.device("cpu"))
        return clip

    return make


def told(pack, drawn, trained, concept) -> bool:
    """Whether Apply would warn of the CLIP ``drawn`` for a concept of the CLIP ``trained``."""
    known = dataclasses.replace(concept, metadata=pack.clip_identity.metadata_of(trained))
    return pack.applying.another_encoder(drawn, known) is not None


@pytest.mark.parametrize("dtype", COPIES, ids=str)
def test_a_coarser_copy_of_the_encoder_is_not_taken_for_another(pack, clip_in, pack_concept, dtype):
    """Who trains with a text encoder in fp16 and draws with its copy in float8, or the other way, sees no warning."""
    fine, coarse = clip_in(), clip_in(dtype)
    assert pack.clip_identity.identity_of(fine) != pack.clip_identity.identity_of(coarse)
    for drawn, trained in ((coarse, fine), (fine, coarse), (coarse, coarse), (clip_in(torch.float16), coarse)):
        assert not told(pack, drawn, trained, pack_concept("teddy_t", "bear"))


def test_another_encoder_of_the_same_width_is_told_where_rounding_cannot_be_the_reason(pack, clip_in, pack_concept):
    """Two CLIPs of one width are told apart; in a coarse dtype only where the encoder's makers gave it so."""
    concept, fine, other = pack_concept("teddy_t", "bear"), clip_in(), clip_in(change=0.01)
    assert told(pack, other, fine, concept) and not told(pack, clip_in(torch.float16), fine, concept)
    coarse, other = clip_in(torch.bfloat16), clip_in(torch.bfloat16, change=0.1)
    assert not told(pack, other, coarse, concept)


def test_encoders_that_were_made_in_bfloat16_are_told_apart_in_it(pack, clip_in, pack_concept, monkeypatch):
    """Two Qwen3 of one width, both as their makers gave them, are two encoders."""
    monkeypatch.setattr(pack.clip_identity, "BORN_IN_BFLOAT16", ("l",))
    concept, coarse, other = pack_concept("teddy_t", "bear"), clip_in(torch.bfloat16), clip_in(torch.bfloat16, 0.1)
    assert told(pack, other, coarse, concept) and not told(pack, clip_in(), coarse, concept)
    assert not told(pack, clip_in(torch.float8_e4m3fn, 0.1), coarse, concept)


def test_a_file_says_nothing_new_of_an_encoder_in_fp16(pack, clip_in):
    """Files of such trainings stay as they were, to the byte."""
    assert set(pack.clip_identity.metadata_of(clip_in(torch.float16))) == {"encoder"}
    assert pack.clip_identity.metadata_of(clip_in(torch.bfloat16))["encoder_precision"] == "bfloat16"
