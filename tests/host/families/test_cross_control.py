"""Control pictures in models whose text has keys and values of its own: what they add, and the concept."""

from __future__ import annotations

import dataclasses
import importlib
from types import SimpleNamespace

import pytest
import torch

from builders.cross_models import CROSS, cross_model
from builders.cross_world import TEXT, CrossWorld
from builders.joint_models import randomize
from builders.older_hosts import skip_without

NAMED, PLAIN = TEXT.format("teddy_t"), TEXT.format("teddy bear")


def noise(*shape: int, seed: int = 4) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


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


CONTROLLED = {
    "VACE": ("WAN21_Vace", {"model_type": "vace", "vace_layers": 2, "vace_in_dim": 96}),
    "Fun Camera": ("WAN22_Camera", {"model_type": "camera_2.2", "in_dim": 36}),
    "Fun Control": ("WAN21_T2V", {"in_dim": 52, "in_dim_ref_conv": 16}),
}
"""Model -> the host's class of it, and what it changes in the text model's sizes."""


def controlled_model(kind: str):
    config, sizes = CONTROLLED[kind]
    facts = dataclasses.replace(CROSS["wan21"], config=config, unet=CROSS["wan21"].unet | sizes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CROSS, "controlled", facts)
        return cross_model("controlled")


def entries_of(kind: str) -> dict:
    """A control picture of one frame, as the host's nodes put it into the conditioning."""
    return {
        "VACE": {"vace_frames": [noise(1, 32, 1, 8, 8)], "vace_mask": [torch.ones(1, 64, 1, 8, 8)]},
        "Fun Camera": {"camera_conditions": noise(1, 24, 1, 64, 64)},
        "Fun Control": {"concat_latent_image": noise(1, 32, 1, 8, 8), "reference_latents": [noise(1, 16, 1, 8, 8)]},
    }[kind]


@pytest.mark.parametrize("kind", CONTROLLED)
def test_a_model_that_reads_control_pictures_draws_the_text_models_concept(world, kind):
    """VACE and the Fun models have the text model's layers: its concept draws in them, and none is trained there."""
    world.model = controlled_model(kind)
    concept = concept_of(world)
    world.pack.family.check_fits(world.model, concept)
    both_act(world, world.model, *world.applied(concept), entries_of(kind))
    words = "which reads control pictures; training has none" if kind == "VACE" else "control pictures|52 channels"
    with pytest.raises(ValueError, match=words):
        world.pack.family.family_of(world.model).check_trainable(world.model)


def test_a_region_behind_a_reference_picture(world):
    """Fun Control reads its reference before the picture: a black region keeps the concept out, a left one left."""
    world.model = controlled_model("Fun Control")
    concept, entries = concept_of(world), entries_of("Fun Control")
    outputs: list[torch.Tensor] = []

    def first_output(**where) -> torch.Tensor:
        """Of the first block's places, which stand behind the reference's 16 (B, 4, 4, d)."""
        outputs.clear()
        block = world.model.model.diffusion_model.blocks[0]
        handle = block.register_forward_hook(lambda _module, _args, output: outputs.append(output))
        world.draw(*world.applied(concept, **where), NAMED, entries=entries)
        handle.remove()
        assert outputs[0].shape[1] == 32
        return outputs[0][:, 16:].unflatten(1, (4, 4))

    left = torch.zeros(8, 8)
    left[:, :4] = 1
    nowhere = first_output(region=torch.zeros(8, 8))
    moved = (first_output(region=left) - nowhere).abs().amax((0, 1, 3))
    assert (moved > 1e-4).tolist() == [True, True, False, False]
