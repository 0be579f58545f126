"""A network beside a model whose text has keys and values of its own: what it adds, and the concept."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

import pytest
import torch

from builders.cross_world import TEXT, CrossWorld
from builders.joint_models import randomize
from builders.older_hosts import skip_without
from builders.wan_models import noise

NAMED, PLAIN = TEXT.format("teddy_t"), TEXT.format("teddy bear")


def both_act(world, plain_model, model, clip, entries=None) -> None:
    """The control changes the picture, the concept too; and without the word the picture is the control's alone."""
    control = {"entries": entries}
    alone = world.draw(plain_model, world.clip, PLAIN, **control)
    assert (alone - world.draw(world.model, world.clip, PLAIN)).abs().max() > 1e-3
    both = world.draw(model, clip, NAMED, **control)
    edited = world.draw(*world.applied(concept_of(world)), NAMED)
    assert min((both - other).abs().max() for other in (alone, edited)) > 1e-3
    assert torch.equal(world.draw(model, clip, PLAIN, **control), alone)
    assert torch.equal(world.draw(plain_model, world.clip, PLAIN, **control), alone)


def concept_of(world):
    return world.concept() if world.gate == "learned word" else world.position_concept()


@pytest.fixture(params=["learned word", "position"])
def world(pack, request):
    made = CrossWorld(pack, "wan21")
    made.gate = request.param
    return made


def test_uni3c_beside_the_concept(world):
    """Wan's one ControlNet beside the model adds to the picture's places between blocks; it reads no words."""
    node = importlib.import_module("comfy_extras.nodes_model_patch")
    if not hasattr(node, "WanUni3CControlnetApply"):
        skip_without("Uni3C for Wan")
    import comfy.ldm.wan.uni3c
    import comfy.model_patcher
    import comfy.ops

    sizes = {"conv_out_dim": 32, "dim": 32, "ffn_dim": 48, "num_heads": 2, "num_layers": 2, "time_embed_dim": 64}
    sizes |= {"out_proj_dim": 64, "add_channels": 7, "mid_channels": 8}
    how = {"dtype": torch.float32, "device": "cpu", "operations": comfy.ops.disable_weight_init}
    network, cpu = comfy.ldm.wan.uni3c.WanUni3CControlnet(**sizes, **how), torch.device("cpu")
    randomize(network)
    latent = noise(1, 16, 1, 8, 8)
    vae = SimpleNamespace(
        encode=lambda _frames: latent.clone(),
        temporal_compression_decode=lambda: 4,
        spacial_compression_encode=lambda: 8,
    )
    patch, film = comfy.model_patcher.ModelPatcher(network, cpu, cpu), torch.full((1, 64, 64, 3), 0.5)

    def controlled(model):
        return node.WanUni3CControlnetApply().apply_patch(model, patch, vae, film, 1.0, 0.0, 1.0)[0]

    model, clip = world.applied(concept_of(world))
    both_act(world, controlled(world.model), controlled(model), clip)
