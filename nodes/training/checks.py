"""What is checked of the node's inputs before anything is loaded."""

from __future__ import annotations

from typing import Any

import comfy.lora
import comfy.utils

from ...perfusion_ops import EditedLayers, Gate, GateKind, TrainingSettings
from ...perfusion_ops.concept.file_schema import Description, check_texts
from ...perfusion_ops.files.strict_json import FormatError
from ...perfusion_ops.text.covariance import UncenteredCovariance
from ..families.family import Family
from ..host.widgets import GATES, KEY_LOCKINGS, LAYERS


def check_statistics(statistics: UncenteredCovariance, family: Family, model) -> None:
    """Raise ValueError for statistics of another width than the model's K and V read."""
    width = family.context_width(model.model.diffusion_model)
    if statistics.width != width:
        raise ValueError(
            f"The text statistics have the width {statistics.width}; expected {width}, which this model reads. "
            "Measure them on this model's own CLIP, with the model connected to Perfusion Text Statistics."
        )


def check_shapes(model) -> None:
    """Raise ValueError for a LoRA that lets a layer read more than it does, as control LoRAs do: training has no more.
    """
    # Older hosts have no such function, and no such LoRAs.
    shape_of = getattr(comfy.lora, "calculate_shape", lambda _patches, weight, _key: weight.shape)
    for name, patches in model.patches.items():
        weight = model.backup[name].weight if name in model.backup else comfy.utils.get_attr(model.model, name)
        shape = shape_of(patches, weight, name)
        if shape != weight.shape:
            raise ValueError(
                f"A LoRA lets the layer {name.removesuffix('.weight')} read {shape[-1]} numbers instead of "
                f"{weight.shape[-1]}, as LoRAs for control pictures do; training has no control picture to give. "
                "Connect the model without that LoRA."
            )


def check_can_be_saved(word: str, superclass: str, family: str) -> None:
    """Raise ValueError now for names that the trained concept's file could not hold."""
    try:
        check_texts(Description(word, superclass, family, {}, {}))
    except FormatError as error:
        raise ValueError(f"The concept {error}") from None


def settings_of(one: dict[str, Any], family: Family) -> TrainingSettings:
    """The settings among the inputs. Raises ValueError for a gate that the family has not, or layers that have none."""
    gate = GATES[one.get("gate", "auto")] or family.gates[0]
    if gate not in family.gates:
        known = " or ".join(repr(kind.value) for kind in family.gates)
        raise ValueError(f"{family.title} cannot be trained with the gate {gate.value!r}; expected {known}, or 'auto'.")
    return TrainingSettings(
        steps=one["steps"],
        batch_size=one["batch_size"],
        micro_batch=min(one["micro_batch"], one["batch_size"]),
        value_learning_rate=one["value_learning_rate"],
        word_learning_rate=one["word_learning_rate"],
        gate=Gate(one["bias"], one["temperature"]),
        key_locking=KEY_LOCKINGS[one["key_locking"]],
        gate_kind=gate,
        layers=_layers_of(one.get("layers", "auto"), gate, family),
        flip=one["flip"],
        seed=one["seed"] % 2**63,
    )


def _layers_of(choice: str, gate: GateKind, family: Family) -> EditedLayers:
    if gate is GateKind.POSITION:
        return LAYERS[choice] or family.edited_layers
    if LAYERS[choice] not in (None, EditedLayers.ALL):
        raise ValueError(
            f"layers is {choice!r}, and the gate {gate.value!r} learns in all layers; expected 'auto' or 'all'. For "
            f"{choice!r}, choose the gate {GateKind.POSITION.value!r}."
        )
    return EditedLayers.ALL
