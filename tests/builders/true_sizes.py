"""Models, prompts and concepts of the true shapes, with random weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from builders import real_host as host
from builders.make_checkpoints import ALL_BLOCKS, CONTEXT_WIDTHS, unet_config

SD_SHORT = {"channel_mult": [1, 2]}
SDXL = {"channel_mult": [1, 2, 4]}
SSD_1B = SDXL | {
    "transformer_depth": [0, 0, 2, 2, 4, 4],
    "transformer_depth_output": [0, 0, 0, 1, 1, 2, 10, 4, 4],
    "transformer_depth_middle": -1,
}
VEGA = SDXL | {
    "transformer_depth": [0, 0, 1, 1, 2, 2],
    "transformer_depth_output": [0, 0, 0, 1, 1, 1, 2, 2, 2],
    "transformer_depth_middle": -1,
}
SDXL_SHORT = SDXL | {
    "transformer_depth": [0, 0, 1, 1, 3, 3],
    "transformer_depth_output": [0, 0, 0, 1, 1, 1, 3, 3, 3],
    "transformer_depth_middle": 3,
}


def _adm(channels: int) -> dict[str, Any]:
    """Of a network that reads a vector beside the text."""
    return {"adm_in_channels": channels, "num_classes": "sequential"}


def _koala(deepest: int, middle: int) -> dict[str, Any]:
    up = [0, 0, 2, 2, deepest, deepest]
    sizes = {"transformer_depth": [0, 2, deepest], "transformer_depth_output": up, "transformer_depth_middle": middle}
    return SDXL | {"num_res_blocks": [1] * 3} | sizes


@dataclass(frozen=True)
class Family:
    """A base family and what the configuration of its U-Net changes in that of the tests' small checkpoints."""

    name: str
    title: str
    layers: Mapping[str, Any]
    config: str = ""
    """Name of the host's class, of a relative that has one of its own."""
    latent_channels = 4

    @property
    def unet(self) -> dict[str, Any]:
        return unet_config(self.name) | self.layers

    @property
    def context(self) -> int:
        return CONTEXT_WIDTHS[self.name]

    @property
    def text_encoders(self) -> dict[str, int]:
        """Text encoder -> width of its embeddings."""
        return {"sd1": {"l": 768}, "sd2": {"h": 1024}, "sdxl": {"l": 768, "g": 1280}}[self.name]

    def configuration(self) -> Any:
        """The host's own, of ``comfy.supported_models``."""
        kind = self.config or {"sd1": "SD15", "sd2": "SD20", "sdxl": "SDXL"}[self.name]
        return getattr(host.comfy("comfy.supported_models"), kind)(self.unet)


@dataclass(frozen=True)
class Transformer(Family):
    """A family of transformers: ``layers`` is all that the host finds of its network in a file."""

    widths: Mapping[str, int] = field(default_factory=dict)
    latent_channels: int = 16

    @property
    def unet(self) -> dict[str, Any]:
        return dict(self.layers)

    @property
    def context(self) -> int:
        return self.layers["crossattn_emb_channels"]

    @property
    def text_encoders(self) -> dict[str, int]:
        return dict(self.widths)


COSMOS = {
    **{"max_img_h": 240, "max_img_w": 240, "max_frames": 128, "in_channels": 16, "out_channels": 16},
    **{"patch_spatial": 2, "patch_temporal": 1, "model_channels": 2048, "concat_padding_mask": True},
    **{"crossattn_emb_channels": 1024, "pos_emb_cls": "rope3d", "pos_emb_learnable": True},
    **{"pos_emb_interpolation": "crop", "min_fps": 1, "max_fps": 30, "use_adaln_lora": True, "adaln_lora_dim": 256},
    **{"num_blocks": 28, "num_heads": 16, "extra_per_block_abs_pos_emb": False, "rope_h_extrapolation_ratio": 4.0},
    **{"rope_w_extrapolation_ratio": 4.0, "rope_t_extrapolation_ratio": 1.0, "rope_enable_fps_modulation": False},
    **{"extra_h_extrapolation_ratio": 1.0, "extra_w_extrapolation_ratio": 1.0, "extra_t_extrapolation_ratio": 1.0},
}
TRANSFORMERS = {
    "anima": Transformer("anima", "Anima", COSMOS | {"image_model": "anima"}, "Anima", {"qwen3_06b": 1024}),
    "cosmos2": Transformer(
        "cosmos2",
        "Cosmos-Predict2 2B",
        COSMOS | {"image_model": "cosmos_predict2"},
        "CosmosT2IPredict2",
        {"t5xxl": 1024},
    ),
}
UNET_RELATIVES = {
    "unclip_l": Family("sd2", "SD 2.1 unCLIP-L", ALL_BLOCKS | _adm(1536), "SD21UnclipL"),
    "unclip_h": Family("sd2", "SD 2.1 unCLIP-H", ALL_BLOCKS | _adm(2048), "SD21UnclipH"),
    "ssd_1b": Family("sdxl", "SSD-1B", SSD_1B, "SSD1B"),
    "vega": Family("sdxl", "Segmind Vega", VEGA, "Segmind_Vega"),
    "koala_700m": Family("sdxl", "KOALA 700M", _koala(5, -2), "KOALA_700M"),
    "koala_1b": Family("sdxl", "KOALA 1B", _koala(6, 6), "KOALA_1B"),
}
FAMILIES = TRANSFORMERS | UNET_RELATIVES | {
    "sd1": Family("sd1", "SD 1.5", ALL_BLOCKS),
    "sd2": Family("sd2", "SD 2.1", ALL_BLOCKS),
    "sdxl": Family("sdxl", "SDXL", SDXL),
    "sdxl_short": Family("sdxl", "SDXL, 3 of 10 blocks deep, as bfloat16 is emulated here", SDXL_SHORT),
    "sd1_short": Family("sd1", "SD 1.5, 2 of 4 levels, 1 block each", SD_SHORT),
    "sdxl_narrow": Family("sdxl", "SDXL, half the U-Net's width", SDXL | {"model_channels": 160}),
    "tiny": Family("sd1", "tiny SD 1.5", {"model_channels": 64}),
}


def random_model(name: str, dtype: torch.dtype = torch.float32, device: str | None = None, disable_dynamic=False):
    """A MODEL as the host's loaders return it. ``device="meta"`` has shapes and no weights."""
    config = FAMILIES[name].configuration()
    # Weights of one byte are only stored: the host computes in another dtype.
    config.set_inference_dtype(dtype, None if dtype.itemsize > 1 else torch.bfloat16)
    model = config.get_model({}, "", device=torch.device(device or "cpu"))
    if device != "meta":
        fill(model.diffusion_model)
    patcher = host.comfy("comfy.model_patcher").ModelPatcher(
        model, load_device=host.device(), offload_device=torch.device("cpu")
    )
    # How the host makes the copy that its own trainer works on.
    patcher.cached_patcher_init = (random_model, (name, dtype, device))
    return patcher


def random_clip(name: str, dtype: torch.dtype = torch.float32, device: torch.device | None = None):
    """The host's CLIP with its real tokenizers. ``device`` meta: the true shapes, no weights."""
    target = FAMILIES[name].configuration().clip_target()
    options = {"dtype": dtype}
    if device is not None:
        # The load device stays: a CLIP made on it is loaded at once, which needs weights.
        options |= {"load_device": host.device(), "initial_device": device, "offload_device": device}
    clip = host.comfy("comfy.sd").CLIP(target, model_options=options)
    if device is None:
        fill(clip.cond_stage_model)
    return clip


@torch.inference_mode()
def queued_model(name: str, dtype: torch.dtype):
    """A MODEL as the host's queue holds it: made in inference mode."""
    return random_model(name, dtype)


@torch.inference_mode()
def queued_clip(name: str):
    """A CLIP as the host's queue holds it: made in inference mode, in the dtype the host gives text encoders."""
    return random_clip(name, host.comfy("comfy.model_management").text_encoder_dtype(host.device()))


@torch.no_grad()
def fill(module: nn.Module) -> None:
    """Weights that keep activations near unit size: norms the identity, other matrices scaled by their fan-in."""
    numbers = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0))
    for name, parameter in module.named_parameters():
        if parameter.ndim < 2:
            one = "norm" in name or name.endswith(("in_layers.0.weight", "out_layers.0.weight", "out.0.weight"))
            parameter.fill_(1.0 if one and name.endswith("weight") else 0.0)
            continue
        scale = 1.0 if "embedding" in name else parameter[0].numel() ** -0.5
        row = (numbers * scale).to(parameter.dtype)
        for part in parameter.view(-1).split(len(row)):
            part.copy_(row[: len(part)])


def layer_widths(model) -> dict[str, int]:
    """Cross-attention layer -> width of its values."""
    layers = host.pack("nodes.families.family").projections(model)
    return {name: to_v.out_features for name, (_, to_v) in layers.items()}


def random_concepts(name: str, widths: Mapping[str, int], count: int) -> list:
    """``count`` concepts that fit a model of the family."""
    family, concept = FAMILIES[name], host.pack("perfusion_ops").Concept
    generator = torch.Generator().manual_seed(1)

    def draw(size: int) -> Tensor:
        return torch.randn(size, generator=generator)

    concepts = []
    for index in range(count):
        target_input = draw(family.context)
        concepts.append(
            concept(
                word=f"concept_{index:02}",
                superclass="teddy bear",
                base_family=family.name,
                target_input=target_input,
                target_dual=target_input / family.context,
                superclass_encoding=draw(family.context),
                word_embeddings={encoder: draw(width) for encoder, width in family.text_encoders.items()},
                value_residuals={layer: draw(width) for layer, width in widths.items()},
            )
        )
    return concepts


def with_concepts(model, concepts: Sequence[Any]):
    """``model`` with all ``concepts``, one Apply node after the other."""
    ops, host_model = host.pack("perfusion_ops"), host.pack("nodes.host.model")
    for concept in concepts:
        term = ops.EditTerm(concept, ops.Gate(0.6, 0.15))
        model = host_model.model_with_concept(model, host_model.AppliedConcept(term))
    return model


def conditioning(name: str, words: Sequence[str] = (), tokens: int = 77, seed: int = 0) -> list:
    """A random prompt as the host's text encode nodes return it; with ``words`` it holds those concepts."""
    family = FAMILIES[name]
    generator = torch.Generator().manual_seed(seed)
    encodings = torch.randn(1, tokens, family.context, generator=generator)
    if words:
        prompt, naming = host.pack("nodes.host.encoded_prompt").EncodedPrompt, host.pack("nodes.host.naming").Naming
        superclass = encodings.clone()
        superclass[:, 1:] += 1
        encodings = prompt.of(encodings, map(naming, words), encodings[0, 0].clone(), superclass)
    return [[encodings, {"pooled_output": torch.randn(1, 1280, generator=generator)}]]
