"""Wan 2.1 and 2.2 on pictures, which are films of one frame: K and V read ``text_embedding`` of UMT5's encodings.

Both experts of Wan 2.2 14B are networks of one shape: a concept of one fits the other. Keys have a bias and a norm over
all heads at once, so key locking is exact with ``exact`` alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from comfy.ldm.wan.model import WanT2VCrossAttention
from torch import Tensor, nn

from ...perfusion_ops import GateKind
from .cross import CrossAttention, CrossFamily, ReadBefore, zero_encodings
from .host_classes import host_classes


class _BesidePicture(CrossAttention):
    """A layer whose queries also read a picture's tokens, by keys and values of their own."""

    def __call__(self, queries: Tensor, context: Tensor, value: Tensor) -> Tensor:
        """The output (B, Q, d) of the text alone: the layer's sum is linear, and an edit adds to the text's part."""
        return WanT2VCrossAttention.forward(self.attention, queries, context)


def _layers(net: nn.Module) -> dict[str, CrossAttention]:
    return {f"blocks.{number}.cross_attn": _layer(block.cross_attn) for number, block in enumerate(net.blocks)}


def _layer(attention: nn.Module) -> CrossAttention:
    kind = _BesidePicture if hasattr(attention, "k_img") else CrossAttention
    return kind(attention, to_q=attention.q, to_k=attention.k, to_v=attention.v, to_out=attention.o)


def _reading_layers(net: nn.Module) -> nn.Module:
    embedding = net.text_embedding
    return embedding.layers if isinstance(embedding, ReadBefore) else embedding


def _embedded(net: nn.Module, encodings: Tensor, _entries: Mapping[str, Any]) -> Tensor:
    """UMT5's encodings (B, T, 4096) as K and V read them (B, T, d)."""
    return _reading_layers(net)(encodings)


def _places_of_reference(net: nn.Module, entries: Mapping[str, Any]) -> int:
    """Reference pictures that stand before the one that is drawn: Fun Control's (B, C, h, w), SCAIL's (B, C, n, h, w).

    Those of S2V and HuMo stand behind it.
    """
    reference = entries.get("reference_latent")
    if reference is None or not (getattr(net, "ref_conv", None) or hasattr(net, "patch_embedding_pose")):
        return 0
    steps = net.patch_size[-reference.ndim + 2 :]
    return math.prod(-(-side // step) for side, step in zip(reference.shape[2:], steps, strict=True))


def _read_once(net: nn.Module) -> None:
    net.text_embedding = ReadBefore(net.text_embedding)


def _family(name: str, title: str, config: str, *drawn_only: str) -> CrossFamily:
    return CrossFamily(
        name=name,
        title=title,
        configs=host_classes(config),
        drawn_only=host_classes(*drawn_only),
        layers=_layers,
        blocks=lambda net: net.blocks,
        context=_embedded,
        # The layers make a word of the zeros that the host pads with.
        padding=zero_encodings,
        as_patch=None,
        before=_places_of_reference,
        rotary=True,
        reading_layers=_reading_layers,
        text_layer=lambda net: _reading_layers(net)[0],
        differentiable=_read_once,
        guidance=5.0,
        # The first needs no gradient through a text encoder of six billion parameters.
        gates=(GateKind.POSITION, GateKind.LEARNED_WORD),
    )


FROM_PICTURES = ("WAN21_I2V", "WAN21_FunControl2V", "WAN21_Vace", "WAN21_Camera", "WAN22_Camera")
"""Models that start from pictures or follow them; those of Wan 2.2 without a camera are of the text model's class."""
FROM_FILMS = ("WAN22_Animate", "WAN22_S2V", "WAN21_HuMo", "WAN21_SCAIL", "WAN21_SCAIL2", "WAN22_WanDancer")
"""Models that follow a film, a pose or a sound."""
WAN = (
    _family("wan21", "Wan 2.1 and 2.2", "WAN21_T2V", *FROM_PICTURES, *FROM_FILMS),
    _family("wan22", "Wan 2.2 5B", "WAN22_T2V"),
)
WAN_REFUSED = {
    "WAN_Animate2": "Wan-Animate 2 reads the prompt a second time, for the film that it follows, by the same layers: "
    "an edit would change that film too. Draw with Wan 2.2 Animate.",
    "WAN21_CausalAR_T2V": "This Wan draws frame by frame and keeps keys and values of its first step, so a schedule "
    "would have no effect. Draw with a Wan that draws all frames together.",
    "WAN21_FlowRVS": "FlowRVS finds what a prompt names in a film, and draws nothing.",
}
"""The host's class -> why a concept does not draw there."""
