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
    return SimpleNamespace(model=Holder(network), hook_backup=hook_backup, load_device=torch.device("cpu"))


def addresses(module: nn.Module) -> list[int]:
    return [parameter.data_ptr() for parameter in module.parameters()]


def test_the_copy_of_a_network_is_the_same_memory_and_can_be_differentiated(pack, host_network):
    copied = pack.private_copies.private_copy(patcher_of(host_network), "clip_l")
    assert addresses(copied) == addresses(host_network)
    assert not any(parameter.is_inference() or parameter.requires_grad for parameter in copied.parameters())
    pack.private_copies.keep_weights_small(copied)
    x = torch.ones(2, 8, requires_grad=True)
    copied(x).sum().backward()
    assert x.grad.norm() > 0
    assert "forward" not in vars(host_network[0]), "the host's own module got the copy's forward"
    with torch.inference_mode():
        plain = copy.deepcopy(host_network).float()
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
        plain(x)


def test_another_dtype_is_a_copy(pack, host_network):
    copied = pack.private_copies.private_copy(patcher_of(host_network), "clip_l", torch.float32)
    assert not set(addresses(copied)) & set(addresses(host_network))
    for ours, theirs in zip(copied.parameters(), host_network.parameters(), strict=True):
        assert ours.dtype == torch.float32 and torch.equal(ours, theirs.float())


def test_a_weight_under_a_hook_is_a_copy_as_the_host_writes_into_it(pack, host_network):
    patcher = patcher_of(host_network, **{"clip_l.2.weight": None})
    copied = pack.private_copies.private_copy(patcher, "clip_l")
    before = copied[2].weight.clone()
    with torch.inference_mode():
        host_network[2].weight.fill_(7)
    assert torch.equal(copied[2].weight, before)
    assert copied[0].weight.data_ptr() == host_network[0].weight.data_ptr()


def test_weights_cast_one_by_one_give_the_numbers_of_a_float32_copy_to_the_bit(pack, host_network):
    patcher = patcher_of(host_network)
    small, wide = (pack.private_copies.private_copy(patcher, "clip_l", dtype) for dtype in (None, torch.float32))
    pack.private_copies.keep_weights_small(small)
    probe = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(1))
    found = []
    for network in (small, wide):
        x = probe.clone().requires_grad_()
        output = network(x)
        output.square().sum().backward()
        found.append((output.detach(), x.grad))
    assert all(map(torch.equal, *found))


def test_gradients_through_cast_weights_equal_finite_differences(pack, host_network):
    """In float64, to which the half precision weights are cast without loss."""
    network = pack.private_copies.private_copy(patcher_of(host_network), "clip_l")
    pack.private_copies.keep_weights_small(network)
    x = torch.randn(2, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(network, (x,), eps=1e-6, atol=1e-8)
    (gradient,) = torch.autograd.grad(network(x).square().sum(), x)
    assert gradient.abs().max() > 1e-3, "a gradient of zero would pass the check above"


def test_no_cast_weight_waits_for_the_backward_pass(pack, host_network):
    network = pack.private_copies.private_copy(patcher_of(host_network), "clip_l")
    pack.private_copies.keep_weights_small(network)
    saved = []

    def keep(tensor):
        saved.append(tensor.data_ptr())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(torch.ones(2, 8, requires_grad=True))
    assert {host_network[n].weight.data_ptr() for n in (0, 2)} <= set(saved)
    assert len(saved) == 3, "two weights and the output of the nonlinearity"


def test_training_reads_the_weights_of_the_host_itself(pack, loaded):
    """No weight of the U-Net, nor of the text encoder, is there twice."""
    model, clip = loaded
    encoders, _ = pack.encoders.private_encoders(clip)
    private = pack.task.PrivateModel.of(model, "float32", recompute=False)
    assert clip.cond_stage_model.clip_l.transformer.get_input_embeddings().weight.dtype == torch.float16
    for ours, theirs in ((encoders["l"], clip.cond_stage_model.clip_l), (private.unet, model.model.diffusion_model)):
        assert ours is not theirs and addresses(ours) == addresses(theirs)
