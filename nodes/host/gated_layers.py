"""Gated activations of private copies, ``x act(g)``: ``act(g)`` is computed again in the backward pass, not kept.

It is the largest part of what a feed-forward layer with frozen weights keeps, and an elementwise function.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import comfy.clip_model
import torch
from torch import Tensor, nn
from torch.nn import functional

QUICK_GELU = "quick_gelu"


class _Gated(torch.autograd.Function):
    """``x act(g)``, by the operations that the host and autograd take, so that no bit differs."""

    @staticmethod
    def forward(ctx, x: Tensor, gate: Tensor, act: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(x, gate)
        ctx.act = act
        return x * act(gate)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        x, gate = ctx.saved_tensors
        with torch.enable_grad():
            gate = gate.detach().requires_grad_()
            opened = ctx.act(gate)
        (to_gate,) = torch.autograd.grad(opened, gate, gradient * x)
        return gradient * opened.detach(), to_gate, None


def keep_gates_alone(network: nn.Module) -> None:
    """Let the gated layers of a private copy keep what their activation reads, and not what it gives."""
    for module in network.modules():
        kind = type(module).__name__
        if kind in FORWARDS and "forward" not in vars(module):
            module.forward = partial(FORWARDS[kind], module)
        elif hasattr(module, "_forward_silu_gating"):
            module._forward_silu_gating = _lumina
        elif getattr(module, "activation", None) is comfy.clip_model.ACTIVATIONS[QUICK_GELU]:
            module.activation = lambda x: _Gated.apply(x, x, _quick_sigmoid)


def _geglu(module: nn.Module, x: Tensor) -> Tensor:
    return _Gated.apply(*module.proj(x).chunk(2, dim=-1), functional.gelu)


def _silu_of_two(_module: nn.Module, x: Tensor) -> Tensor:
    gate, x = x.chunk(2, dim=-1)
    return _Gated.apply(x, gate, functional.silu)


def _swiglu(module: nn.Module, x: Tensor) -> Tensor:
    return module.w2(_Gated.apply(module.w3(x), module.w1(x), functional.silu))


def _lumina(gate: Tensor, x: Tensor) -> Tensor:
    from comfy.ldm.lumina.model import clamp_fp16

    return clamp_fp16(_Gated.apply(x, gate, functional.silu))


def _quick_sigmoid(x: Tensor) -> Tensor:
    return torch.sigmoid(1.702 * x)


FORWARDS = {"GEGLU": _geglu, "SiLUActivation": _silu_of_two, "FeedForwardSwiGLU": _swiglu}
"""The host's class -> its forward pass: of SD and SDXL, of Flux.2, of HiDream."""
