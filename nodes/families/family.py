"""Which family a model is of, and whether a concept fits it. A new family is one file and one line here."""

from __future__ import annotations

from ...perfusion_ops import Concept
from ...perfusion_ops.edit.injection import Projections
from .unet import UNETS, UNet

FAMILIES: tuple[UNet, ...] = UNETS
REFINER = "SDXLRefiner"


def family_of(model) -> UNet:
    """The family of a MODEL. Raises ValueError for a model without text cross-attention."""
    for family in FAMILIES:
        if family.fits(model):
            return family
    kind = type(model.model.model_config).__name__
    if kind == REFINER:
        raise ValueError(
            "The model is SDXL's refiner, which reads another context than SDXL, so concepts cannot edit it. Connect "
            "Apply Key-Locked Attention to the base model, and the refiner without it."
        )
    raise ValueError(
        f"The model is of the kind {kind}, which has no text cross-attention that "
        "concepts can edit; expected SD 1.x, SD 2.x or SDXL. Load a checkpoint of one of these."
    )


def projections(model) -> Projections:
    """Layer name, as in original Stable Diffusion files -> (to_k, to_v)."""
    layers = family_of(model).cross_attentions(model.model.diffusion_model)
    return {name: (layer.to_k, layer.to_v) for name, layer in layers.items()}


def check_fits(model, concept: Concept) -> None:
    """Raise ValueError, with one sentence, if ``concept`` was trained for another kind of model."""
    family = family_of(model).name
    if family != concept.base_family:
        raise ValueError(
            f"The concept {concept.word!r} was trained for {concept.base_family}, and this model is {family}. "
            f"Load a checkpoint of {concept.base_family}, or train the concept again on this one."
        )
    layers = projections(model)
    found = {name: to_v.out_features for name, (_, to_v) in layers.items()}
    needed = {name: residual.shape[0] for name, residual in concept.value_residuals.items()}
    width = next(iter(layers.values()))[0].in_features
    if found != needed or concept.context_width not in (None, width):
        raise ValueError(
            f"The concept {concept.word!r} was trained for {len(needed)} cross-attention layers of context width "
            f"{concept.context_width or width}, and this {family} model has {len(found)} of width {width} or other "
            "names and sizes. Load the kind of checkpoint it was trained on, or train it again."
        )
