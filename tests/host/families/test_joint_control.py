"""Control pictures in models with joint attention: what a ControlNet or a model patch adds, and the concept."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

import pytest
import torch

from builders.joint_models import randomize
from builders.joint_world import JointWorld

PICTURE = torch.full((1, 64, 64, 3), 0.5)
CONTROLLED = {"flux1": ("input", "output"), "chroma": ("input", "output"), "qwen_image": ("input",), "sd3": ("output",)}
CONTROLLED["flux2"] = CONTROLLED["flux1"]
"""Family -> the blocks that its ControlNets add to."""


def both_act(world, plain_model, model, entries=None) -> None:
    """The control changes the picture, the concept too; and without the word the picture is the control's alone."""
    named = world.prompt(5, ["teddy_t"])
    once, plain = {"steps": 1, "entries": entries}, world.pack.encoded_prompt.plain(named)
    before = world.draw(plain_model, plain, **once)
    assert (before - world.draw(world.model, plain, steps=1)).abs().max() > 1e-3
    drawn = world.draw(model, named, **once)
    assert (drawn - before).abs().max() > 1e-3
    assert (drawn - world.draw(world.applied(world.concept()), named, steps=1)).abs().max() > 1e-3
    assert torch.equal(world.draw(model, plain, **once), before)


@pytest.mark.parametrize("family", list(CONTROLLED))
def test_a_controlnet(pack, family):
    """What a ControlNet adds to the picture's stream: nobody's words or values are touched by it."""
    from comfy.controlnet import ControlBase

    world = JointWorld(pack, family)
    places = world.latent[-2] * world.latent[-1] // world.net.patch_size**2
    width = getattr(world.net, "hidden_size", None) or world.net.inner_dim

    class Control(ControlBase):
        def get_control(self, x_noisy, *_call):
            added = torch.randn(1, places, width, generator=torch.Generator().manual_seed(4))
            parts = {part: [added.expand(len(x_noisy), -1, -1)] * 2 for part in CONTROLLED[family]}
            return {"input": [], "middle": [], "output": [], **parts}

    entries = {"control": Control(), "control_apply_to_uncond": False}
    both_act(world, world.model, world.applied(world.concept()), entries)


def patch_of(family: str) -> torch.nn.Module:
    """A small model patch of the host's own class: Qwen-Image's block by block, Z-Image's with layers of its own."""
    import comfy.ldm.lumina.controlnet
    import comfy.ops

    how = {"dtype": torch.float32, "device": "cpu", "operations": comfy.ops.disable_weight_init}
    if family == "qwen_image":
        kind = importlib.import_module("comfy_extras.nodes_model_patch").QwenImageBlockWiseControlNet
        return kind(num_layers=3, dim=96, **how)
    sizes = {"dim": 256, "n_heads": 4, "n_kv_heads": 4, "multiple_of": 32, "ffn_dim_multiplier": 1.0}
    # As many as the true model has layers, of which the small one has three.
    return comfy.ldm.lumina.controlnet.ZImage_Control(**sizes, n_control_layers=30, **how)


@pytest.mark.parametrize("family", ["qwen_image", "zimage"])
def test_a_model_patch(pack, family):
    """Networks that read the prompt beside the model, with attention of their own, see the superclass's words."""
    import comfy.model_patcher

    world, node = JointWorld(pack, family), importlib.import_module("comfy_extras.nodes_model_patch")
    network, cpu = patch_of(family), torch.device("cpu")
    randomize(network)
    frames = (1,) if family == "qwen_image" else ()
    latent = torch.randn(1, 16, *frames, 8, 8, generator=torch.Generator().manual_seed(6))
    vae = SimpleNamespace(encode=lambda _picture: latent.clone(), spacial_compression_encode=lambda: 8)
    patch = comfy.model_patcher.ModelPatcher(network, cpu, cpu)

    def patched(model):
        with torch.inference_mode():
            return node.QwenImageDiffsynthControlnet().diffsynth_controlnet(model, patch, vae, PICTURE)[0]

    both_act(world, patched(world.model), patched(world.applied(world.concept())))
