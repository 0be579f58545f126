"""Another model's CLIP while drawing: a sentence with what was found and what to do, in every node that sees both."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from builders.joint_world import JointWorld

STRANGE = "This CLIP gives 1024 numbers for each token, and this SD 1.x model reads 768. Connect the CLIP of the same"


@pytest.fixture(scope="module")
def strange(load_checkpoint):
    """The CLIP of SD 2.x."""
    return load_checkpoint("sd2")[1]


@pytest.fixture(scope="module")
def by_position(pack, pack_concept):
    """Nothing in a concept with a position gate tells which text encoder it needs."""
    concept = pack_concept("rex", "dog")
    return pack.ops.Concept("rex", "dog", "sd1", value_residuals=concept.value_residuals, gate="position")


def test_every_node_that_sees_both_refuses_another_models_clip(pack, loaded, strange, by_position):
    """Who wires the wrong CLIP reads which one is needed, and not that matrices cannot be multiplied."""
    model, clip = loaded
    gate, local, put = pack.ops.Gate(), pack.ops.KeyLocking.LOCAL, pack.applying.put_in_effect
    for strength in (1.0, 0.0):
        put(model, clip, by_position, strength, gate, local)
        with pytest.raises(ValueError, match=STRANGE):
            put(model, strange, by_position, strength, gate, local)
    applied = pack.model.AppliedConcept(pack.ops.EditTerm(by_position, gate))
    with pytest.raises(ValueError, match=STRANGE):
        pack.gates.gate_table(pack.model.model_with_concept(model, applied), strange, "a rex")
    vae, deeper = (SimpleNamespace(latent_channels=count, latent_dim=2) for count in (4, 16))
    with pytest.raises(ValueError, match=STRANGE):
        pack.subject_masks.MaskReader(model, strange, vae, "dog")
    with pytest.raises(ValueError, match="This VAE makes latents of 16 channels"):
        pack.subject_masks.MaskReader(model, clip, deeper, "dog")
    with pytest.raises(ValueError, match=STRANGE):
        pack.statistics.measured(strange, ["a cat"], model)


def test_a_clip_is_asked_once(pack, loaded, monkeypatch):
    """A large text encoder needs seconds for a prompt; who turns a dial of Apply does not wait for them again."""
    model, clip = loaded
    pack.belonging.check_text_once(model, clip)
    monkeypatch.setattr(type(clip), "encode_from_tokens", lambda *_args, **_others: pytest.fail("encoded again"))
    pack.belonging.check_text_once(model, clip.clone())


@pytest.mark.parametrize("family", ["zimage", "flux1"])
def test_a_prompt_of_another_models_clip_is_named_where_the_sampler_fails(pack, family):
    """The encode node may have another CLIP than Apply, with or without the word: the sampler says which prompt."""
    world = JointWorld(pack, family)
    model, wide = world.applied(world.concept()), torch.nn.functional.pad(world.prompt(5), (0, 8))
    width = world.facts.context
    with pytest.raises(ValueError, match=f"positive prompt has {width + 8} numbers .* model reads {width}: another"):
        world.draw(model, wide, steps=1)


def test_a_failure_that_no_prompt_explains_stays_what_it_is(pack):
    """Another node's error is not covered by a sentence about prompts."""
    world = JointWorld(pack, "zimage")

    def broken(*_args, **_settings):
        raise RuntimeError("broken elsewhere")

    with pytest.raises(RuntimeError, match="broken elsewhere"):
        world.draw(world.applied(world.concept()), world.prompt(5), options={"optimized_attention_override": broken})
