"""Which family a model is of, and whether a concept fits it. A new family is one file and one line here."""

from __future__ import annotations

from ...perfusion_ops import Concept, EditedLayers
from ...perfusion_ops.edit.injection import Projections
from .anima import ANIMA
from .cross import CrossFamily
from .flux import FLUX
from .hidream import HIDREAM
from .hunyuan_dit import HUNYUAN_DIT
from .joint import JointFamily
from .lumina import LUMINA
from .pixart import PIXART
from .qwen import QWEN
from .sd3 import SD3
from .unet import UNETS, UNet
from .wan import WAN, WAN_REFUSED

Family = UNet | CrossFamily | JointFamily
FAMILIES: tuple[Family, ...] = (*UNETS, *SD3, *LUMINA, *FLUX, *QWEN, *HIDREAM, *ANIMA, *WAN, *PIXART, *HUNYUAN_DIT)
REFINER = "SDXLRefiner"


def family_of(model) -> Family:
    """The family of a MODEL. Raises ValueError for a model that concepts cannot edit."""
    for family in FAMILIES:
        if family.fits(model):
            return family
    kind = _kind(model.model.model_config)
    if kind == REFINER:
        raise ValueError(
            "The model is SDXL's refiner, which reads another context than SDXL, so concepts cannot edit it. Connect "
            "Apply Key-Locked Attention to the base model, and the refiner without it."
        )
    raise ValueError(
        f"The model is of the kind {kind}, which concepts cannot edit; expected {titles()}. "
        + WAN_REFUSED.get(kind, "Load a model of one of these.")
    )


def check_network(model) -> tuple[dict[str, int], int]:
    """``sizes_of`` the model.

    Raises ValueError for a network that another pack put in the place of the host's, as Nunchaku's loader does.
    """
    family, net = family_of(model), model.model.diffusion_model
    try:
        return sizes_of(model)
    except AttributeError as error:
        raise ValueError(
            f"The model is {family.title} by its settings, but its network is a {type(net).__name__} of another pack "
            "and has none of the layers that concepts edit. Load the model with ComfyUI's own Load Diffusion Model, "
            "or use it without Apply Key-Locked Attention."
        ) from error


def sizes_of(model) -> tuple[dict[str, int], int]:
    """Layer name -> width of its values, and the width of what the layers read, of a MODEL as it will be loaded."""
    family, net = family_of(model), model.model.diffusion_model
    return family.sizes_of(model) if isinstance(family, UNet) else (family.value_widths(net), family.context_width(net))


def _kind(config) -> str:
    """What a model is called: by people, where it shares its class with a family, else by the host."""
    relatives = [family.relative(config) for family in FAMILIES if family.joint and type(config) in family.configs]
    return next(filter(None, relatives), type(config).__name__)


def titles() -> str:
    """The families that are supported, as people call them."""
    *others, last = [family.title for family in FAMILIES]
    return f"{', '.join(others)} or {last}"


def title_of(base_family: str) -> str:
    """The family that concept files call ``base_family``, as people call it; its name in the file if it is not known.
    """
    return next((family.title for family in FAMILIES if family.name == base_family), repr(base_family))


def projections(model) -> Projections:
    """Layer name, as in original Stable Diffusion files -> (to_k, to_v), of a family whose K and V read text alone."""
    layers = family_of(model).cross_attentions(model.model.diffusion_model)
    return {name: (layer.to_k, layer.to_v) for name, layer in layers.items()}


def check_fits(model, concept: Concept) -> None:
    """Raise ValueError, with one sentence, if ``concept`` was trained for another kind of model."""
    family = family_of(model)
    if concept.base_family not in (known.name for known in FAMILIES):
        raise ValueError(
            f"The concept {concept.word!r} was trained for the model family {title_of(concept.base_family)}, which "
            "this version of the pack does not know. Update this pack."
        )
    if family.name != concept.base_family:
        trained = title_of(concept.base_family)
        raise ValueError(
            f"The concept {concept.word!r} was trained for {trained}, and this model is {family.title}. "
            f"Load a checkpoint of {trained}, or train the concept again on this one."
        )
    found, width = check_network(model)
    needed = {name: residual.shape[0] for name, residual in concept.value_residuals.items()}
    choices = [EditedLayers.ALL] if concept.has_learned_word else list(EditedLayers)
    has_layers = any(needed == dict(choice.among(found.items())) for choice in choices)
    if not has_layers or concept.context_width not in (None, width):
        raise ValueError(
            f"The concept {concept.word!r} was trained for {len(needed)} attention layers"
            f"{_of_width(concept.context_width)}, and this {family.title} model has {len(found)}{_of_width(width)} or "
            "other names and sizes. Load the kind of checkpoint it was trained on, or train it again."
        )
    if concept.gate not in family.gates:
        raise ValueError(
            f"The concept {concept.word!r} has the gate {concept.gate.value!r}, which {family.title} does not read; "
            f"expected {' or '.join(repr(gate.value) for gate in family.gates)}. Train it again with that gate."
        )


def _of_width(width: int | None) -> str:
    return f" of context width {width}" if width else ""
