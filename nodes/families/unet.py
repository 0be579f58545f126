"""SD 1.x, SD 2.x and SDXL: U-Nets whose cross-attention reads the text encoder's encodings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...perfusion_ops import GateKind, NoiseSchedule
from ...perfusion_ops.text.covariance import DEFAULT_MIX
from .discrete import discrete_schedule
from .host_classes import host_classes

LATENT_CHANNELS = 4
SHAPE = "activations_shape"
"""The host's name, among a layer's options, of the shape (B, C, h, w) that it computes at: nodes may shrink it."""


@dataclass(frozen=True)
class UNet:
    """One family of U-Nets."""

    name: str
    """As concept files name it."""
    configs: tuple[type, ...]
    """The host's classes of its checkpoints."""

    joint = False
    second = None
    transformer = False
    covariance_mix = DEFAULT_MIX
    entry = None
    sides = (8, 8)
    gates = tuple(GateKind)
    guidance = 6.0

    @property
    def title(self) -> str:
        """As people call it."""
        return {"sd1": "SD 1.x", "sd2": "SD 2.x", "sdxl": "SDXL"}[self.name]

    def fits(self, model) -> bool:
        """Whether a MODEL is of this family and has text cross-attention."""
        if type(model.model.model_config) not in self.configs:
            return False
        return next(_cross_attentions(model.model.diffusion_model), None) is not None

    def cross_attentions(self, net: nn.Module) -> dict[str, nn.Module]:
        """The text cross-attention layers by name, in the order of the network, compiled or not."""
        return dict(_cross_attentions(net))

    def layers_of(self, model) -> dict[str, nn.Module]:
        """The same of a MODEL as it will be loaded: other nodes put layers in their place, or have left some there."""
        names = self.cross_attentions(model.model.diffusion_model)
        return {name: model.get_model_object(f"diffusion_model.{name}") for name in names}

    def context(self, _net: nn.Module, encodings: Tensor, _entries: Mapping[str, Any]) -> Tensor:
        """What K and V read (B, T, d): the encodings themselves."""
        return encodings

    def kept(self, _encodings: Tensor, _context: Tensor) -> None:
        """None: of what the host pads with, every token is a word to the network."""
        return None

    def patch(self, _net: nn.Module) -> None:
        """None: each layer has a grid of its own."""
        return None

    def before(self, _net: nn.Module, _entries: Mapping[str, Any]) -> int:
        """0: layers read the picture's places alone."""
        return 0

    def reading_layers(self, _net: nn.Module) -> None:
        """None: nothing of the network stands between the encodings and K and V."""
        return None

    @staticmethod
    def as_patch(swap: Callable) -> Callable:
        """The swap of edited contexts as an ``attn2_patch``, told the rows and columns of the layer that reads them."""

        def patch(queries, context, values, options):
            shape = options.get(SHAPE)
            return swap(queries, context, values, None if shape is None else tuple(shape[-2:]))

        return patch

    def value_widths(self, net: nn.Module) -> dict[str, int]:
        """Layer name -> width of its values."""
        return _value_widths(self.cross_attentions(net))

    def context_width(self, net: nn.Module) -> int:
        """d: the width of the encodings that the layers read."""
        return _context_width(self.cross_attentions(net))

    def sizes_of(self, model) -> tuple[dict[str, int], int]:
        """Both, of a MODEL as it will be loaded. Raises ValueError as ``check_projections`` does."""
        layers = self.layers_of(model)
        check_projections(layers)
        return _value_widths(layers), _context_width(layers)

    def text_width(self, net: nn.Module) -> int:
        """The width of the text encoder's encodings: what K and V read."""
        return self.context_width(net)

    def check_trainable(self, model) -> None:
        """Raise ValueError for a model that reads more than a noisy latent: training has nothing else."""
        channels = model.model.model_config.unet_config["in_channels"]
        if channels != LATENT_CHANNELS:
            raise ValueError(
                f"The model reads {channels} channels, as inpainting and editing models do; training expects the "
                f"{LATENT_CHANNELS} of a latent. Load the text-to-image checkpoint it was made from."
            )
        self.noise_schedule(model)

    def noise_schedule(self, model) -> NoiseSchedule:
        """The model's own schedule. Raises ValueError for a kind that training does not know."""
        return discrete_schedule(model, self.title)

    def conditioning(self, model, pooled: Tensor | None, pixels: tuple[int, int]) -> dict[str, Tensor]:
        """What the network reads beside noise, timestep and context: SDXL's pooled encoding (1, 1280) and sizes."""
        height, width = pixels
        size = {"height": height, "width": width, "target_height": height, "target_width": width}
        adm = model.model.encode_adm(pooled_output=pooled, device=torch.device("cpu"), **size)
        return {} if adm is None else {"y": adm}


UNETS = (
    UNet("sd1", host_classes("SD15", "SD15_instructpix2pix")),
    UNet("sd2", host_classes("SD20", "SD21UnclipL", "SD21UnclipH")),
    UNet("sdxl", host_classes("SDXL", "SSD1B", "Segmind_Vega", "KOALA_700M", "KOALA_1B", "SDXL_instructpix2pix")),
)


def with_projections(layers: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Those of ``layers`` that read prompts as the host's do, and not in a way of another node's."""
    return {name: layer for name, layer in layers.items() if hasattr(layer, "to_k") and hasattr(layer, "to_v")}


def check_projections(layers: Mapping[str, nn.Module]) -> None:
    """Raise ValueError if another node put a layer of its own into a network, which reads prompts in its own way."""
    known = with_projections(layers)
    for name, layer in layers.items():
        if name not in known:
            raise ValueError(
                f"The layer {name} of the model is a {type(layer).__name__} of another node, which reads prompts in "
                "its own way, so a concept would have no effect there. Connect the model without that node, or "
                "without Apply Key-Locked Attention."
            )


def _value_widths(layers: Mapping[str, nn.Module]) -> dict[str, int]:
    return {name: layer.to_v.out_features for name, layer in layers.items()}


def _context_width(layers: Mapping[str, nn.Module]) -> int:
    return next(iter(layers.values())).to_k.in_features


def is_of_another_pack(net: nn.Module) -> bool:
    """Whether the network of a U-Net, compiled or not, computes by another class than the host's."""
    return not type(getattr(net, "_orig_mod", net)).__module__.startswith("comfy.")


def _cross_attentions(module: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Goes down itself: ``named_modules`` hands each name up through all levels, which takes longer."""
    for name, child in module.named_children():
        if name == "attn2":
            yield f"{path}{name}", child
        else:
            yield from _cross_attentions(child, path if name == "_orig_mod" else f"{path}{name}.")
