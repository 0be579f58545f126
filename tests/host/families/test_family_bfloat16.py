"""Models that compute in bfloat16, as the host loads them for a GPU: a training there predicts as the host draws."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from builders.cross_models import CROSS
from builders.cross_world import TEXT, CrossWorld
from builders.joint_models import JOINT, small_model
from builders.joint_world import JointWorld
from builders.kin_models import KIN
from builders.older_hosts import skip_where_untrainable, skip_without


@pytest.fixture(params=[*CROSS, *JOINT, *KIN])
def world(request, pack):
    if request.param == "chroma_radiance":
        skip_without("such settings of Chroma Radiance")
    world = (CrossWorld if request.param in CROSS else JointWorld)(pack, request.param)
    skip_where_untrainable(pack, world.family)
    return world


def predicted(world, private, model) -> torch.Tensor:
    """What a training on the network of ``private`` predicts of a noisy latent (1, C, h, w)."""
    if world.family.joint:
        injection = world.pack.joint_model.JointInjection(world.family, private.unet)
        pooled = None if world.facts.pooled is None else torch.ones(1, world.facts.pooled)
        given = model, injection, pooled, private.device, private.dtype
        predict, prompt = world.pack.joint_model.joint_predictor(*given), world.packed(world.prompt(5))
    else:
        layers = world.family.layers(private.unet)
        injection = world.pack.cross_model.CrossInjection(layers, not world.family.values_alone)
        predict = world.pack.cross_model.cross_predictor(model, private.unet, private.device, private.dtype)
        inside = private.unet is model.model.diffusion_model and world.family.second is None
        prompt = (world.given if inside else world.trained)(TEXT.format("teddy bear"))
    channels, *_, height, width = world.facts.latent
    noisy = torch.randn(1, channels, height, width, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode(False), torch.no_grad(), injection.inject():
        return predict(noisy, torch.tensor([300]), prompt)


def test_a_training_in_bfloat16_predicts_as_the_hosts_network_does(world):
    """``auto`` takes bfloat16 on a GPU: the first step comes there in every family, and from what is drawn there."""
    narrow = {"narrow": world.facts.narrow} if world.name in CROSS else {}
    sizes = world.facts.config, world.facts.unet, torch.bfloat16
    model = small_model(*sizes, **narrow, computing=torch.bfloat16)
    private = world.pack.task.PrivateModel.of(model, "bfloat16", True)
    hosts = dataclasses.replace(private, unet=model.model.diffusion_model)
    expected, found = (predicted(world, each, model).float() for each in (hosts, private))
    assert expected.std() > 0.1
    assert (found - expected).norm() < 0.02 * expected.norm()
