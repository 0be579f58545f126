"""The networks training runs in: the host's own weights, in modules through which gradients pass."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn


class Holder(nn.Module):
    """A host's model with one network in it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.clip_l = network


@pytest.fixture
def host_network():
    """A network as the host makes it: in half precision, in inference mode."""
    with torch.inference_mode():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 5, bias=False)).half()


def patcher_of(network: nn.Module, **hook_backup) -> SimpleNamespace:
    place = {"load_device": torch.device("cpu"), "patches": {}, "backup": {}}
    return SimpleNamespace(model=Holder(network), hook_backup=hook_backup, **place)


def addresses(module: nn.Module) -> list[int]:
    return [parameter.data_ptr() for parameter in module.parameters()]


def test_the_copy_of_a_network_is_the_same_memory_and_can_be_differentiated(pack, host_network):
    """Training needs no second model in memory, and gradients pass through the host's."""
    copied = pack.private_copies.private_copy(patcher_of(host_network), "clip_l")
    assert addresses(copied) == addresses(host_network)
    assert not any(parameter.is_inference() or parameter.requires_grad for parameter in copied.parameters())
    pack.frozen_layers.compute_in(copied, torch.float32)
    x = torch.ones(2, 8, requires_grad=True)
    copied(x).sum().backward()
    assert x.grad.norm() > 0
    assert "forward" not in vars(host_network[0]), "the host's own module got the copy's forward"
    with torch.inference_mode():
        plain = copy.deepcopy(host_network).float()
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
        plain(x)


def test_a_weight_under_a_hook_is_a_copy_as_the_host_writes_into_it(pack, host_network):
    """A LoRA that the host switches on and off does not change what a training computes with."""
    patcher = patcher_of(host_network, **{"clip_l.2.weight": None})
    copied = pack.private_copies.private_copy(patcher, "clip_l")
    before = copied[2].weight.clone()
    with torch.inference_mode():
        host_network[2].weight.fill_(7)
    assert torch.equal(copied[2].weight, before)
    assert copied[0].weight.data_ptr() == host_network[0].weight.data_ptr()


def test_training_reads_the_weights_of_the_host_itself(pack, loaded):
    """No weight of the U-Net, nor of the text encoder, is there twice."""
    model, clip = loaded
    encoders, _ = pack.encoders.private_encoders(clip)
    private = pack.task.PrivateModel.of(model, "float32", recompute=False, beside=[clip.patcher])
    assert clip.cond_stage_model.clip_l.transformer.get_input_embeddings().weight.dtype == torch.float16
    for patcher, ours, theirs in (
        (clip.patcher, encoders["l"], clip.cond_stage_model.clip_l),
        (model, private.unet, model.model.diffusion_model),
    ):
        assert ours is not theirs
        if pack.device_memory.pages(patcher):
            assert {p.device.type for p in theirs.parameters() if p.ndim > 1} == {"cpu"}
        else:
            assert matrices(ours) == matrices(theirs)


def matrices(network: nn.Module) -> list[int]:
    """Where every weight of two or more dimensions lies: all but some thousandths of a network."""
    return [parameter.data_ptr() for parameter in network.parameters() if parameter.ndim > 1]
