"""The host's U-Net: which family it is of, its text cross-attention layers, and whether a concept fits them."""

from __future__ import annotations

from collections.abc import Iterator

import comfy.supported_models
from torch import nn

from ..perfusion_ops import Concept
from ..perfusion_ops.injection import Projections

FAMILIES = {
    "sd1": comfy.supported_models.SD15,
    "sd2": comfy.supported_models.SD20,
    "sdxl": comfy.supported_models.SDXL,
}


def base_family(model) -> str:
    """``sd1``, ``sd2`` or ``sdxl``. Raises ValueError for models without the text cross-attention this needs."""
    config = model.model.model_config
    for name, kind in FAMILIES.items():
        if isinstance(config, kind) and _has_cross_attention(model.model.diffusion_model):
            return name
    raise ValueError(
        f"The model is of the kind {type(config).__name__}, which has no text cross-attention that concepts can edit; "
        "expected SD 1.x, SD 2.x or SDXL. Load such a checkpoint."
    )


def _has_cross_attention(diffusion_model: nn.Module) -> bool:
    return next(_cross_attentions(diffusion_model), None) is not None


def projections(model) -> Projections:
    """Layer name, as in original Stable Diffusion files -> (to_k, to_v)."""
    return {name: (layer.to_k, layer.to_v) for name, layer in cross_attentions(model.model.diffusion_model).items()}


def cross_attentions(diffusion_model: nn.Module) -> dict[str, nn.Module]:
    """The text cross-attention layers by name, in the order of the network, compiled or not."""
    return dict(_cross_attentions(diffusion_model))


def _cross_attentions(module: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Goes down itself: ``named_modules`` hands each name up through all levels, which takes longer."""
    for name, child in module.named_children():
        if name == "attn2":
            yield f"{path}{name}", child
        else:
            yield from _cross_attentions(child, path if name == "_orig_mod" else f"{path}{name}.")


def check_fits(model, concept: Concept) -> None:
    """Raise ValueError, in one sentence, when ``concept`` was trained for another kind of model."""
    family = base_family(model)
    if family != concept.base_family:
        raise ValueError(
            f"The concept {concept.word!r} was trained for {concept.base_family}, and this model is {family}. "
            f"Load a checkpoint of {concept.base_family}, or retrain the concept on this one."
        )
    layers = projections(model)
    found = {name: to_v.out_features for name, (_, to_v) in layers.items()}
    needed = {name: residual.shape[0] for name, residual in concept.value_residuals.items()}
    width = next(iter(layers.values()))[0].in_features
    if found != needed or width != concept.context_width:
        raise ValueError(
            f"The concept {concept.word!r} was trained for {len(needed)} cross-attention layers of context width "
            f"{concept.context_width}, and this {family} model has {len(found)} of width {width} or other names and "
            "sizes. Load the kind of checkpoint it was trained on, or retrain."
        )
