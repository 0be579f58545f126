"""What is checked of the node's inputs before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import comfy.lora
import comfy.utils

from ...perfusion_ops import EditedLayers, Gate, GateKind, TrainingSettings
from ...perfusion_ops.concept.file_schema import Description, check_texts
from ...perfusion_ops.files.strict_json import FormatError
from ...perfusion_ops.text.covariance import UncenteredCovariance
from ...perfusion_ops.text.prompts import DEFAULT_TEMPLATES
from ...perfusion_ops.text.words import fold_word
from ..families.family import Family, check_network, family_of, sizes_of
from ..host.belonging import check_first_stage
from ..host.clip import text_encoder_names, vocabulary, words_known_to
from ..host.concept_words import check_names
from ..host.encoders import chunks_of
from ..host.model import applied_terms
from ..host.vocabularies import superclass_tokens
from ..host.whole_prompts import reads_whole
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
    check_new(word, one["model"], one["clip"])
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
        check_statistics(one["statistics"], one["model"])
    taken = shots(inputs["images"], inputs.get("masks") or [], one["resolution"], *family.sides)
    captions = captions_of(inputs["captions"], len(taken), word, superclass)
    templates = _checked_templates(one, (word, superclass), captions, settings)
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


def _checked_templates(
    one: dict[str, Any], names: tuple[str, str], captions: Sequence[str], settings: TrainingSettings
) -> tuple[str, ...]:
    """What is trained on where a picture has no caption; ``names`` are the word and the superclass."""
    (word, superclass), clip = names, one["clip"]
    templates = templates_of(one["templates"]) or DEFAULT_TEMPLATES
    sentences = (*templates, *filter(None, captions))
    check_named_once(word, sentences)
    if settings.gate_kind is GateKind.LEARNED_WORD and not reads_whole(clip):
        for name in text_encoder_names(clip):
            chunks_of(clip, name, superclass, sentences)
    if one["preview_every"]:
        check_preview_prompt(one["preview_prompt"])
    return templates


def concepts_of(model, clip) -> tuple[str, ...]:
    """The words of the concepts that a MODEL or a CLIP has from Apply Key-Locked Attention."""
    words = [term.concept.word for term in applied_terms(model)]
    return tuple(dict.fromkeys((*words, *(known.word for known in words_known_to(clip)))))


def check_new(word: str, model, clip) -> None:
    """Raise ValueError for a word that already names a concept of the model or the CLIP: no preview could hold both."""
    if fold_word(word) in map(fold_word, concepts_of(model, clip)):
        raise ValueError(
            f"The concept word is {word!r}, and the model or the CLIP has a concept of this word already. Connect both "
            "from the loader, not from Apply Key-Locked Attention, or choose another word."
        )


def left_out(model, clip) -> str | None:
    """A sentence when a MODEL or a CLIP has concepts, which training leaves out."""
    words = concepts_of(model, clip)
    if not words:
        return None
    listed = " and ".join(map(repr, words))
    return (
        f"The model or the CLIP has {listed} from Apply Key-Locked Attention, without effect in training; previews "
        "alone draw with it. Connect both from the loader."
    )


def check_statistics(statistics: UncenteredCovariance, model) -> None:
    """Raise ValueError for statistics of another width than the model's K and V read."""
    _, width = sizes_of(model)
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
