"""Transformers whose cross-attention reads a fixed context: what is the same in all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...perfusion_ops import FlowSchedule, GateKind, NoiseSchedule
from .recompute import recompute
from .rectified_flow import flow_schedule
from .rotations import check_rotations
from .second_text import SecondText


@dataclass(frozen=True)
class CrossAttention:
    """One text cross-attention layer, its parts under the names that U-Nets use."""

    attention: nn.Module
    to_q: nn.Module
    to_k: nn.Module
    to_v: nn.Module
    to_out: nn.Module

    def __call__(self, queries: Tensor, context: Tensor, value: Tensor) -> Tensor:
        """The layer's output (B, Q, d). Its values come from the hooks on ``to_v``, whatever that reads."""
        return self.attention(queries, context)


class ReadBefore(nn.Module):
    """Stands for the ``layers`` that read encodings, in a private copy which gets what they made of a prompt."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, context: Tensor, *_others) -> Tensor:
        # PixArt views the prompts of a batch as one row.
        return context.contiguous()


Swap = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
"""(queries, what to_k reads, what to_v reads) -> the same with the edited contexts."""


@dataclass(frozen=True)
class CrossFamily:
    """One family of transformers with text cross-attention. Made of functions, one line a fact."""

    name: str
    """As concept files name it."""
    title: str
    """As people call it."""
    configs: tuple[type, ...]
    """The host's classes of its checkpoints."""
    layers: Callable[[nn.Module], dict[str, CrossAttention]]
    blocks: Callable[[nn.Module], Iterable[nn.Module]]
    """What is computed again in the backward pass, to keep no activations."""
    as_patch: Callable[[Swap], Callable] | None
    """The swap as an ``attn2_patch`` of the host; none where the host calls such patches after the projections."""
    context: Callable[[nn.Module, Tensor, Mapping[str, Any]], Tensor] = lambda net, encodings, entries: encodings
    """(network, encodings (B, T, d), the conditioning's other entries) -> what K and V read (B, T', d')."""
    reading_layers: Callable[[nn.Module], nn.Module | None] = lambda net: None
    """The part of the network between the encodings and ``context``; none if K and V read the encodings."""
    text_layer: Callable[[nn.Module], nn.Module] | None = None
    """The matrix of the network that reads a prompt's encodings; none if K and V do."""
    differentiable: Callable[[nn.Module], None] = lambda net: None
    """Let gradients pass through a private copy."""
    padding: Callable[[Tensor, Tensor], Tensor | None] = lambda encodings, context: (context == 0).all(-1)
    """(encodings (B, T, d), context (B, T', d')) -> bool (B, T'): the tokens that the host pads with, if any."""
    patch: Callable[[nn.Module], int] = lambda net: net.patch_size[-1]
    """Side of the latent's patches, of which every layer reads all."""
    before: Callable[[nn.Module, Mapping[str, Any]], int] = lambda net, entries: 0
    """(network, a model call's other entries) -> how many places layers read before the picture's patches."""
    drawn_only: tuple[type, ...] = ()
    """The host's classes of checkpoints with the same layers that read pictures, poses or sounds: no training has any.
    """
    entry: str | None = None
    """The conditioning's entry of weights whose tokens K and V read one by one; none: the encodings' own tokens."""
    schedule: Callable[[Any, str], NoiseSchedule | FlowSchedule] = flow_schedule
    """(MODEL, title) -> its schedule. Raises ValueError for another kind."""
    sides: tuple[int, int] = (8, 8)
    """Of training pictures in pixels: what both are multiples of, and what they measure at least, on average."""
    guidance: float = 4.0
    """The sampler's cfg for previews."""
    gates: tuple[GateKind, ...] = (GateKind.LEARNED_WORD,)
    rotary: bool = False
    """Whether places are told by the host's rotations, in training too."""
    second: SecondText | None = None
    """A text beside the encodings, which K and V read behind them. Such a family learns by position alone."""
    joint = False
    transformer = True
    covariance_mix = None
    """Of the kinds of tokens, as many as prompts have: the host pads with zeros, which are never edited."""

    def fits(self, model) -> bool:
        """Whether a MODEL is of this family."""
        return type(model.model.model_config) in (*self.configs, *self.drawn_only)

    def cross_attentions(self, net: nn.Module) -> dict[str, CrossAttention]:
        """The text cross-attention layers by name, in the order of the network, compiled or not."""
        return self.layers(net)

    def value_widths(self, net: nn.Module) -> dict[str, int]:
        """Layer name -> width of its values."""
        return {name: layer.to_v.out_features for name, layer in self.layers(net).items()}

    def context_width(self, net: nn.Module) -> int:
        """d: the width of the encodings that the layers read."""
        return next(iter(self.layers(net).values())).to_k.in_features

    def text_width(self, net: nn.Module) -> int:
        """The width of the text encoder's encodings."""
        return self.context_width(net) if self.text_layer is None else self.text_layer(net).in_features

    @property
    def values_alone(self) -> bool:
        """Whether an edit needs nothing of what K and V read, as it adds to values at marked tokens."""
        return GateKind.LEARNED_WORD not in self.gates

    def kept(self, encodings: Tensor, context: Tensor) -> Tensor | None:
        """bool (B, T): tokens that the host pads with: a key norm would blow a leak up to a full key."""
        return self.padding(encodings, context)

    def check_trainable(self, model) -> None:
        """Raise ValueError for a model that reads more than a noisy latent, or samples by another schedule."""
        config, latent = model.model.model_config, model.model.latent_format
        if type(config) in self.drawn_only:
            raise ValueError(
                f"The model is of the kind {type(config).__name__}, which reads pictures, poses or sounds beside the "
                "prompt; training has none to give it. Train on the text-to-video model of the same size: its concepts "
                "draw here too."
            )
        sizes = config.unet_config
        reads = sizes.get("in_channels", sizes.get("in_dim", latent.latent_channels))
        if reads != latent.latent_channels:
            raise ValueError(
                f"The model reads {reads} channels, as inpainting and video models do; training expects the "
                f"{latent.latent_channels} of a latent. Load the text-to-image model it was made from."
            )
        self.noise_schedule(model)
        if self.rotary:
            check_rotations(self.title)

    def noise_schedule(self, model) -> NoiseSchedule | FlowSchedule:
        """The model's own schedule, with its shift. Raises ValueError for a kind that training does not know."""
        return self.schedule(model, self.title)

    def times(self, model) -> Tensor:
        """What the network is told at every timestep of the schedule (N,)."""
        schedule = self.noise_schedule(model)
        if isinstance(schedule, NoiseSchedule):
            return torch.arange(len(schedule)).float()
        return schedule.sigmas * getattr(model.get_model_object("model_sampling"), "multiplier", 1.0)

    def recompute(self, net: nn.Module) -> None:
        """Compute the blocks of a private copy again in the backward pass."""
        recompute(self.blocks(net))


def zero_encodings(encodings: Tensor, _context: Tensor) -> Tensor:
    """bool (B, T): where encodings (B, T, d) are filled up with zeros, of which a network's layers make words."""
    return (encodings == 0).all(-1)


def as_dict_patch(swap: Swap) -> Callable:
    """The swap as the ``attn2_patch`` of Cosmos and its kin: by name, with a dict for an answer."""

    def patch(q, k, v, pe=None, attn_mask=None, extra_options=None) -> dict[str, Any]:
        queries, keys, values = swap(q, k, v)
        return {"q": queries, "k": keys, "v": values, "pe": pe, "attn_mask": attn_mask}

    return patch


def rotated_halves(tensor: Tensor, rotations: Tensor) -> Tensor:
    """Rotary positions of heads (B, T, H, D), the halves of D being pairs, by functions that have a gradient."""
    pairs = tensor.unflatten(-1, (2, -1)).movedim(-2, -1).unsqueeze(-2).to(rotations.dtype)
    turned = rotations[..., 0] * pairs[..., 0] + rotations[..., 1] * pairs[..., 1]
    return turned.movedim(-1, -2).reshape(tensor.shape).to(tensor.dtype)
