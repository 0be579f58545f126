"""Layers that cast their frozen weights as they use them: the numbers of a cast copy, without the copy."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

STORED = [torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2]


def network() -> nn.Module:
    """Every kind of layer that the U-Nets and text encoders have."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(4, 32, 3, padding=1),
        nn.GroupNorm(8, 32),
        nn.SiLU(),
        nn.Conv2d(32, 32, 3, stride=2, padding=1, padding_mode="circular"),
        nn.Conv2d(32, 8, 1, groups=2, bias=False),
        nn.Flatten(2),
        nn.Linear(16, 12),
        nn.LayerNorm(12),
        nn.Linear(12, 5, bias=False),
    ).requires_grad_(False)


def outcome(net: nn.Module, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """What ``net`` makes of a picture, and the gradient to the picture."""
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1)).to(dtype).requires_grad_()
    output = net(x)
    output.float().square().sum().backward()
    return output.detach(), x.grad


@pytest.mark.parametrize("computed", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("stored", STORED)
def test_the_numbers_are_those_of_a_cast_copy_to_the_bit(pack, stored, computed):
    """Training in less memory learns the same concept, for every dtype a checkpoint comes in."""
    kept = network().to(stored)
    cast = copy.deepcopy(kept).to(computed)
    addresses = [p.data_ptr() for p in kept.parameters() if p.ndim > 1]
    pack.frozen_layers.compute_in(kept, computed)
    assert all(map(torch.equal, outcome(kept, computed), outcome(cast, computed)))
    assert [p.data_ptr() for p in kept.parameters() if p.ndim > 1] == addresses
    assert {p.dtype for p in kept.parameters() if p.ndim > 1} == {stored}


@pytest.mark.parametrize("convolution", [nn.Conv1d, nn.Conv2d, nn.Conv3d])
def test_a_convolution_computes_in_the_dtype_of_what_it_is_given(pack, convolution):
    """Wan's patches come in float32 to a network that computes in bfloat16, in which its weights need not lie."""
    layer = convolution(4, 6, 3, stride=2, padding=1).requires_grad_(False)
    kept, address = copy.deepcopy(layer), layer.weight.data_ptr()
    pack.frozen_layers.compute_in(nn.Sequential(layer), torch.bfloat16)
    sides = layer.weight.ndim - 2
    x = torch.randn(2, 4, *[8] * sides, generator=torch.Generator().manual_seed(1)).requires_grad_()
    output = layer(x)
    close = {"rtol": 1e-2, "atol": 1e-2}  # the bias was cast to bfloat16 once
    torch.testing.assert_close(output, kept(x), **close)
    (found,), (wanted,) = (torch.autograd.grad(net(x).square().sum(), x) for net in (layer, kept))
    torch.testing.assert_close(found, wanted, **close)
    assert layer.weight.data_ptr() == address and layer.weight.dtype == output.dtype == torch.float32


def test_weights_in_the_dtype_computed_in_give_the_numbers_of_the_layers_themselves_to_the_bit(pack):
    """A float32 checkpoint is trained on as it is."""
    ours, theirs = network(), network()
    pack.frozen_layers.compute_in(ours, torch.float32)
    assert all(map(torch.equal, outcome(ours, torch.float32), outcome(theirs, torch.float32)))


def test_gradients_through_cast_weights_equal_finite_differences(pack):
    """Training follows the true slope. In float64, to which the half precision weights are cast without loss."""
    net = network().half()
    pack.frozen_layers.compute_in(net, torch.float64)
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(net, (x,), eps=1e-6, atol=1e-7)
    (gradient,) = torch.autograd.grad(net(x).square().sum(), x)
    assert gradient.abs().max() > 1e-3, "a gradient of zero would pass the check above"


def saved_bytes(net: nn.Module, x: Tensor) -> int:
    """What waits for the backward pass, weights that lie in the network itself left out."""
    own = {p.untyped_storage().data_ptr() for p in net.parameters()}
    storages = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            storages[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        net(x)
    return sum(storage.nbytes() for storage in storages.values())


def test_neither_a_cast_weight_nor_a_convolutions_input_waits_for_the_backward_pass(pack):
    """A step keeps neither a float32 model nor the pictures inside it: it fits a smaller card."""
    x = torch.randn(2, 4, 8, 8, requires_grad=True)
    layers = nn.Sequential(nn.Conv2d(4, 64, 3), nn.Conv2d(64, 64, 3), nn.Flatten(2), nn.Linear(16, 512), nn.Tanh())
    layers.requires_grad_(False)
    torchs_own = saved_bytes(layers, x)
    layers.half()
    pack.frozen_layers.compute_in(layers, torch.float32)
    the_nonlinearitys_output = 2 * 64 * 512 * 4
    assert saved_bytes(layers, x) == the_nonlinearitys_output < torchs_own


class TextLayer(nn.Module):
    """It adds to its input in place, as the host's does."""

    def __init__(self) -> None:
        super().__init__()
        self.self_attn, self.mlp = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
        x += scale * self.self_attn(x.clone()).tanh()
        x += self.mlp(x.clone()).tanh()
        return x


class ResidualBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.in_layers, self.out_layers = (nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Tanh()) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.out_layers(self.in_layers(x))


@pytest.mark.parametrize("block", [TextLayer, ResidualBlock])
def test_a_block_that_is_computed_again_gives_the_same_gradient_and_keeps_its_input_alone(pack, block):
    """Who saves memory by ``gradient_checkpointing`` gets the same concept."""
    torch.manual_seed(0)
    net = nn.Sequential(*(block() for _ in range(4))).requires_grad_(False)
    probe = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))

    def gradient_and_bytes() -> tuple[Tensor, int]:
        x = probe.clone().requires_grad_()
        net(x * 1).square().sum().backward()
        return x.grad, saved_bytes(net, probe.clone().requires_grad_() * 1)

    gradient, kept = gradient_and_bytes()
    pack.private_copies.checkpoint_gradients(net)
    again, keeps = gradient_and_bytes()
    assert torch.equal(again, gradient)
    assert keeps < kept


@pytest.mark.parametrize("layout", ["TensorCoreFP8E4M3Layout", "TensorCoreNVFP4Layout", "TensorWiseINT8Layout"])
def test_a_quantised_layer_computes_with_its_dequantised_weight_in_the_same_memory(pack, layout):
    """Quantised checkpoints train without being unpacked in memory."""
    from comfy.ops import mixed_precision_ops
    from comfy.quant_ops import QuantizedTensor

    ops = mixed_precision_ops(compute_dtype=torch.float32)
    torch.manual_seed(0)
    layer = ops.Linear(64, 32)
    layer.weight = nn.Parameter(QuantizedTensor.from_float(torch.randn(32, 64), layout), requires_grad=False)
    layer.bias = nn.Parameter(torch.randn(32), requires_grad=False)
    layer.pre_quant_scale = nn.Parameter(torch.linspace(0.5, 2, 64), requires_grad=False)
    holder = nn.Module()
    holder.net = nn.Sequential(layer)
    place = {"load_device": torch.device("cpu"), "patches": {}, "backup": {}, "hook_backup": {}}
    copied = pack.private_copies.private_copy(type("Patcher", (), {"model": holder, **place}), "net")
    pack.frozen_layers.compute_in(copied, torch.float32)
    assert copied[0].weight._qdata.data_ptr() == layer.weight._qdata.data_ptr()
    assert copied[0].weight._params.scale.data_ptr() == layer.weight._params.scale.data_ptr()
    x = torch.randn(3, 64, requires_grad=True)
    weight = layer.weight.dequantize()
    output = copied(x)
    assert torch.equal(output, nn.functional.linear(x * layer.pre_quant_scale, weight, layer.bias))
    (gradient,) = torch.autograd.grad(output.sum(), x)
    assert torch.equal(gradient, (torch.ones(3, 32) @ weight) * layer.pre_quant_scale)


def test_a_function_the_host_put_on_a_weight_acts_and_leaves_the_weight_alone(pack):
    """A LoRA that the host adds while it streams weights is trained on, and stays out of the checkpoint."""
    layer = nn.Linear(4, 3).requires_grad_(False)
    before = layer.weight.clone()
    layer.weight_function = [lambda weight: weight.mul_(2)]
    layer.bias_function = []
    pack.frozen_layers.compute_in(nn.Sequential(layer), torch.float32)
    x = torch.randn(2, 4, requires_grad=True)
    output = layer(x)
    assert torch.equal(output, nn.functional.linear(x, 2 * before, layer.bias))
    assert torch.equal(torch.autograd.grad(output.sum(), x)[0], torch.ones(2, 3) @ (2 * before))
    assert torch.equal(layer.weight, before)


@pytest.mark.parametrize("bias", [True, False])
def test_a_sum_written_into_a_layers_output_has_its_gradient(pack, bias):
    """As the blocks of Flux.1 and Chroma write into theirs: they train from small weights too."""
    kept = nn.Linear(16, 12, bias).requires_grad_(False).half()
    cast = copy.deepcopy(kept).float()
    pack.frozen_layers.compute_in(kept, torch.float32)

    def gradient(net: nn.Module) -> Tensor:
        x = torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(1)).requires_grad_()
        output = net(x)
        output += x[..., :12] ** 2
        output.square().sum().backward()
        return x.grad

    assert torch.equal(gradient(kept), gradient(cast))
