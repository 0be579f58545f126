"""What is checked of the node's inputs before anything is loaded."""

from __future__ import annotations

from typing import Any

import comfy.lora
import comfy.utils

from ...perfusion_ops import EditedLayers, Gate, GateKind, TrainingSettings
from ...perfusion_ops.concept.file_schema import Description, check_texts
from ...perfusion_ops.files.strict_json import FormatError
from ...perfusion_ops.text.covariance import UncenteredCovariance
from ...perfusion_ops.text.prompts import DEFAULT_TEMPLATES
from ..families.family import Family, check_network, family_of
from ..host.belonging import check_first_stage
from ..host.clip import text_encoder_names, vocabulary
from ..host.concept_words import check_names
from ..host.vocabularies import superclass_tokens
from ..host.widgets import GATES, KEY_LOCKINGS, LAYERS
from .pictures import shots
from .texts import captions_of, check_named_once, check_preview_prompt, templates_of

LISTS = ("images", "masks", "captions")


def checked(inputs: dict[str, list]) -> dict[str, Any]:
    """What a training is made of, by name. Raises ValueError, with one sentence, before anything is loaded."""
    for name, values in inputs.items():
        if name not in LISTS and len(values) != 1:
            raise ValueError(
                f"The input {name} got a list of {len(values)}; expected one value. Use one Train Perfusion "
                "Concept node for each concept."
            )
    one = {name: values[0] for name, values in inputs.items() if name not in LISTS}
    word, superclass = check_names(one["word"], one["superclass"])
    family = family_of(one["model"])
    check_can_be_saved(word, superclass, family.name)
    check_network(one["model"])
    family.check_trainable(one["model"])
    check_shapes(one["model"])
    check_first_stage(one["model"], one["vae"])
    for name in text_encoder_names(one["clip"]):
        superclass_tokens(vocabulary(one["clip"], name), superclass)
    settings = settings_of(one, family)
    if one.get("statistics") is not None and settings.gate_kind is GateKind.LEARNED_WORD:
        check_statistics(one["statistics"], family, one["model"])
    taken = shots(inputs["images"], inputs.get("masks") or [], one["resolution"], *family.sides)
    captions = captions_of(inputs["captions"], len(taken), word, superclass)
    templates = templates_of(one["templates"]) or DEFAULT_TEMPLATES
    check_named_once(word, (*templates, *filter(None, captions)))
    if one["preview_every"]:
        check_preview_prompt(one["preview_prompt"])
    as_given = ("model", "clip", "vae", "dtype", "gradient_checkpointing", "preview_every", "preview_prompt")
    return {name: one[name] for name in as_given} | {
        "word": word,
        "superclass": superclass,
        "shots": taken,
        "templates": templates,
        "captions": captions,
        "settings": settings,
        "statistics": one.get("statistics"),
        "snapshot_every": one.get("snapshot_every", 0),
    }


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
        # The paper's rate is of Stable Diffusion; how large another network's values are is its own matter.
        relative_rates=family.transformer,
    )


def _layers_of(choice: str, gate: GateKind, family: Family) -> EditedLayers:
    # benchmarks/RESULTS.md, "Joint world": the later half draws as well alone, and loses no figure in pairs.
    layers = LAYERS[choice] or (EditedLayers.LATER_HALF if family.joint else EditedLayers.ALL)
    if gate is not GateKind.POSITION and layers is not EditedLayers.ALL:
        raise ValueError(
            f"layers is {choice!r}, and the gate {gate.value!r} learns in all layers; expected 'auto' or 'all'. For "
            f"{choice!r}, choose the gate {GateKind.POSITION.value!r}."
        )
    return layers


def without_effect(settings: TrainingSettings, statistics: UncenteredCovariance | None) -> str | None:
    """A sentence when inputs are set that the chosen gate has no use for."""
    usual = TrainingSettings()
    set_ = {
        "statistics": statistics is not None,
        "key_locking": settings.key_locking is not usual.key_locking,
        "word_learning_rate": settings.word_learning_rate != usual.word_learning_rate,
    }
    unused = [name for name, given in set_.items() if given]
    if settings.gate_kind is not GateKind.POSITION or not unused:
        return None
    return (
        f"With the gate 'position' no word is learned and keys are the superclass's own, so {' and '.join(unused)} "
        f"of this node {'has' if len(unused) == 1 else 'have'} no effect."
    )
