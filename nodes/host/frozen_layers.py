"""Layers that compute in one dtype while their frozen weights stay in another: cast as they are used, one by one."""

from __future__ import annotations

from collections.abc import Callable

import comfy.model_management
import torch
from comfy.quant_ops import QuantizedTensor
from torch import Tensor, nn
from torch.nn import functional

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def compute_in(network: nn.Module, dtype: torch.dtype) -> None:
    """Let a private copy compute in ``dtype``; matrices, convolutions and embeddings stay in the memory they lie in.

    No cast or unpacked weight waits for the backward pass: it is made again there. Biases, norms and what else is
    small are cast once, except weights of other packs' kinds, which their own layers cast at each use. A convolution
    computes in the dtype of what it is given, as the host gives that of Wan's patches more than the others.
    """
    for module in network.modules():
        own = dict(module.named_parameters(recurse=False))
        if "forward" in vars(module) or isinstance(module, nn.Embedding) or not own:
            continue
        linear = hasattr(module, "in_features") and hasattr(module, "weight")
        convolution = isinstance(module, CONVOLUTIONS)
        if (linear or convolution) and not is_known(module.weight):
            _cast_once(module, own, dtype)
            module.forward = _packed_forward(module.forward)
        elif linear and not _acts_as_it_lies(module, own, dtype):
            _cast_once(module, own, dtype, but="weight")
            module.forward = _linear_forward(module)
        elif convolution:
            _cast_once(module, own, dtype, but="weight")
            module.forward = _convolution_forward(module)
        elif not linear:
            _cast_once(module, own, dtype)


def is_known(tensor: Tensor) -> bool:
    """Whether a weight is of torch's or the host's kinds: other packs bring kinds that their own layers alone read."""
    return type(tensor) in (Tensor, nn.Parameter) or isinstance(tensor, QuantizedTensor)


def acting(module: nn.Module, name: str, dtype: torch.dtype) -> Tensor | None:
    """A frozen weight as the host would use it: in ``dtype``, dequantised, through the functions the host put on it."""
    tensor = getattr(module, name)
    if tensor is None:
        return None
    functions = getattr(module, f"{name}_function", ())
    # The functions may write into what they are given.
    tensor = tensor.to(dtype, copy=len(functions) > 0)
    if isinstance(tensor, QuantizedTensor):
        tensor = tensor.dequantize()
    for function in functions:
        tensor = function(tensor)
    return tensor


class _FrozenLinear(torch.autograd.Function):
    """``x W^T + b`` in the dtype of ``x``."""

    @staticmethod
    def forward(ctx, x: Tensor, module: nn.Module) -> Tensor:
        ctx.module = module
        return _unviewed(functional.linear(x, acting(module, "weight", x.dtype), acting(module, "bias", x.dtype)))

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient @ acting(ctx.module, "weight", gradient.dtype), None


class _FrozenConvolution(torch.autograd.Function):
    """A convolution in the dtype of ``x``. Of ``x`` only the shape waits for backward, where torch's keeps it whole."""

    @staticmethod
    def forward(ctx, x: Tensor, module: nn.Module, padding: tuple[int, ...]) -> Tensor:
        ctx.module, ctx.shape, ctx.sides = module, x.shape, len(padding)
        ctx.how = (module.stride, padding, module.dilation, module.groups)
        convolve = getattr(functional, f"conv{ctx.sides}d")
        return convolve(x, acting(module, "weight", x.dtype), acting(module, "bias", x.dtype), *ctx.how)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        to_input = getattr(nn.grad, f"conv{ctx.sides}d_input")
        return to_input(ctx.shape, acting(ctx.module, "weight", gradient.dtype), gradient, *ctx.how), None, None


class _PackedLayer(torch.autograd.Function):
    """A linear layer or convolution whose weight its own ``forward`` alone can unpack: once more for the backward pass.

    Of ``x`` only the shape waits for it: what is linear in ``x`` has one slope, at zero too.
    """

    @staticmethod
    def forward(ctx, x: Tensor, own_forward: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.own_forward, ctx.shape = own_forward, x.shape
        return _unviewed(own_forward(x))

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        with torch.enable_grad():
            zero = gradient.new_zeros(ctx.shape).requires_grad_()
            output = ctx.own_forward(zero)
        return *torch.autograd.grad(output, zero, gradient), None


def _unviewed(output: Tensor) -> Tensor:
    """Torch forbids in-place sums, as Flux has, onto a view from here: nothing else sees what it is a view of."""
    return torch.ops.aten._unsafe_view(output, output.shape) if output._is_view() else output


def _packed_forward(own_forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        comfy.model_management.throw_exception_if_processing_interrupted()
        return _PackedLayer.apply(x, own_forward)

    return forward


def _linear_forward(module: nn.Module) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        comfy.model_management.throw_exception_if_processing_interrupted()
        smoothing = getattr(module, "pre_quant_scale", None)
        return _FrozenLinear.apply(x if smoothing is None else x * smoothing.to(x), module)

    return forward


def _convolution_forward(module: nn.Module) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        comfy.model_management.throw_exception_if_processing_interrupted()
        padding = module.padding
        if module.padding_mode != "zeros":
            x = functional.pad(x, module._reversed_padding_repeated_twice, mode=module.padding_mode)
            padding = (0,) * len(padding)
        return _FrozenConvolution.apply(x, module, padding)

    return forward


def _acts_as_it_lies(module: nn.Module, own: dict[str, nn.Parameter], dtype: torch.dtype) -> bool:
    changed = any(getattr(module, f"{name}_function", ()) for name in own)
    plain = not any(isinstance(parameter, QuantizedTensor) for parameter in own.values())
    return plain and not changed and all(parameter.dtype == dtype for parameter in own.values())


def _cast_once(module: nn.Module, own: dict[str, nn.Parameter], dtype: torch.dtype, but: str = "") -> None:
    for name, parameter in own.items():
        if name != but and is_known(parameter) and parameter.is_floating_point() and parameter.dtype != dtype:
            module.register_parameter(name, nn.Parameter(parameter.to(dtype), requires_grad=False))
