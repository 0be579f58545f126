"""The transformer's arithmetic for training: the same weights and numbers as the host's class, in less time.

On a CPU the host's norms and rotations are many small operations in mixed precision; here only products are bfloat16.
"""
from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .transformer import HEADS, PATCH, TEXT_PLACES, WIDTH

HALF, EPSILON = torch.bfloat16, 1e-5
GRID = 8


@torch.autocast("cpu", HALF)
def fast_velocity(net: nn.Module, x: Tensor, sigmas: Tensor, encodings: Tensor) -> Tensor:
    """``velocity`` for pictures of 16 columns, ``x`` (B, 4, 16, 16)."""
    time = net.t_embedder((1 - sigmas) * net.time_scale, dtype=x.dtype)
    text = net.cap_embedder(encodings).float()
    patches = x.unflatten(3, (GRID, PATCH)).unflatten(2, (GRID, PATCH)).permute(0, 2, 4, 3, 5, 1)
    image = net.x_embedder(patches.flatten(3).flatten(1, 2)).float()
    padding = net.cap_pad_token.expand(len(x), TEXT_PLACES - text.shape[1], -1)
    text = torch.cat([text, padding], 1)
    cos, sin = _rotations(net)
    for layer in net.context_refiner:
        text = _block(layer, text, cos[:TEXT_PLACES], sin[:TEXT_PLACES], None)
    for layer in net.noise_refiner:
        image = _block(layer, image, cos[TEXT_PLACES:], sin[TEXT_PLACES:], time)
    joint = torch.cat([text, image], 1)
    for layer in net.layers:
        joint = _block(layer, joint, cos, sin, time)
    out = net.final_layer(joint[:, TEXT_PLACES:], time).float()
    out = out.unflatten(2, (PATCH, PATCH, 4)).unflatten(1, (GRID, GRID))
    return -out.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)


def _rotations(net: nn.Module) -> tuple[Tensor, Tensor]:
    """Cosines and sines (places, 1, half a head) of every place: text along the first axis, then the picture's grid."""
    places = torch.zeros(1, TEXT_PLACES + GRID * GRID, 3)
    places[0, :TEXT_PLACES, 0] = torch.arange(TEXT_PLACES) + 1.0
    places[0, TEXT_PLACES:, 0] = TEXT_PLACES + 1
    places[0, TEXT_PLACES:, 1:] = torch.cartesian_prod(torch.arange(GRID), torch.arange(GRID)).float()
    turns = net.rope_embedder(places)[0, 0]
    return turns[..., 0, 0].unsqueeze(1), turns[..., 1, 0].unsqueeze(1)


def _norm(x: Tensor, weight: Tensor) -> Tensor:
    x = x.float()
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPSILON) * weight


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2).to(HALF).transpose(1, 2)


def _product(x: Tensor, linear: nn.Module) -> Tensor:
    return F.linear(x.to(HALF), linear.weight.to(HALF))


def _block(layer: nn.Module, x: Tensor, cos: Tensor, sin: Tensor, time: Tensor | None) -> Tensor:
    """One layer on (B, places, width); ``time`` (B, width), or None for a layer without modulation."""
    scale, gate, mlp_scale, mlp_gate = _modulation(layer, time)
    attention, mlp = layer.attention, layer.feed_forward
    mixed = _product(_norm(x, layer.attention_norm1.weight) * scale, attention.qkv)
    q, k, v = mixed.unflatten(-1, (3, HEADS, WIDTH // HEADS)).unbind(2)
    q = _rotated(_norm(q, attention.q_norm.weight), cos, sin) * (WIDTH // HEADS) ** -0.5
    k = _rotated(_norm(k, attention.k_norm.weight), cos, sin)
    shares = (q @ k.transpose(2, 3)).float().softmax(-1).to(HALF)
    seen = (shares @ v.transpose(1, 2)).transpose(1, 2).flatten(2)
    x = x + gate * _norm(_product(seen, attention.out), layer.attention_norm2.weight)
    hidden = (_norm(x, layer.ffn_norm1.weight) * mlp_scale).to(HALF)
    hidden = F.silu(_product(hidden, mlp.w1)) * _product(hidden, mlp.w3)
    return x + mlp_gate * _norm(_product(hidden, mlp.w2), layer.ffn_norm2.weight)


def _modulation(layer: nn.Module, time: Tensor | None) -> tuple:
    """Factors on the two inputs and the two outputs, each (B, 1, width)."""
    if time is None:
        return 1, 1, 1, 1
    scale, gate, mlp_scale, mlp_gate = layer.adaLN_modulation(time).float().unsqueeze(1).chunk(4, -1)
    return 1 + scale, gate.tanh(), 1 + mlp_scale, mlp_gate.tanh()
