"""What a concept file holds: its metadata and its tensors. docs/concept_format.md says the same in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from ..files.strict_json import FormatError, compact_json, shown
from ..files.strict_safetensors import NAMES, Header
from .concept import ENCODINGS, Concept, GateKind
from .layer_table import decode_layers, encode_layers

FORMATS = {GateKind.LEARNED_WORD: "1", GateKind.POSITION: "2"}
"""Gate -> the format of its files. Format 1 names no gate."""
MAX_FILE_BYTES = 2 * 1024 * 1024
MAX_METADATA_BYTES = 1_180
"""Of all metadata but the layer table, as JSON: with it a concept for SD 1.x is never longer than 32,768 bytes."""
MAX_CONTEXT_WIDTH = 16_384
EMBEDDING_BLOCK = 64
"""Numbers of a word embedding that share one scale in int8."""
EMBEDDING_PREFIX = "word_embedding."

TEXT_LIMITS = {"word": 64, "superclass": 64, "title": 64, "author": 64, "usage_hint": 120, "description": 240}
"""UTF-8 bytes."""
OTHER_TEXT_LIMIT = 1_024
ARCHITECTURES = {
    "sd1": "stable-diffusion-v1/perfusion",
    "sd2": "stable-diffusion-v2/perfusion",
    "sdxl": "stable-diffusion-xl-v1-base/perfusion",
}
MODELSPEC_KEYS = ("title", "author", "date", "description", "usage_hint")
"""Concept metadata that goes by a ``modelspec.`` key; everything else goes by ``perfusion.``."""
_RESERVED = ("format", "word", "superclass", "base", "layers", "widths")
_KEY = re.compile(r"[a-z][a-z0-9_]{0,31}")
_FAMILY = re.compile(r"[a-z0-9][a-z0-9_.-]{0,31}")
_ENCODER = re.compile(r"[a-z][a-z0-9_]{0,15}")
RETRAIN = "Save the concept again, or get the file from its author again."

Precision = Literal["fp32", "fp16", "int8"]
TENSOR_DTYPES: Mapping[Precision, Mapping[str, torch.dtype]] = {
    "fp32": dict.fromkeys(("encodings", "values", "embeddings", "keys"), torch.float32),
    "fp16": dict.fromkeys(("encodings", "values", "embeddings", "keys"), torch.float16),
    "int8": {
        "encodings": torch.float16,
        "values": torch.int8,
        "embeddings": torch.int8,
        "keys": torch.float16,
    },
}


@dataclass(frozen=True)
class Description:
    """Everything in a concept that is not a number."""

    word: str
    superclass: str
    base_family: str
    layers: Mapping[str, int]
    """Layer name -> width of its values, in natural order."""
    metadata: Mapping[str, str]
    gate: GateKind = GateKind.LEARNED_WORD


def describe(concept: Concept) -> Description:
    """The description of ``concept``. Raises FormatError for what a file cannot hold."""
    layers = {name: residual.shape[0] for name, residual in concept.value_residuals.items()}
    keys = {name: residual.shape[0] for name, residual in concept.key_residuals.items()}
    if keys and keys != layers:
        raise FormatError("cannot hold key residuals of other layers or widths than the value residuals.")
    names = (concept.word, concept.superclass, concept.base_family)
    return Description(*names, layers, dict(concept.metadata), concept.gate)


def write_metadata(description: Description) -> dict[str, str]:
    """The file's metadata. Raises FormatError for names and texts outside the limits."""
    check_texts(description)
    names, widths = encode_layers(description.layers)
    family = description.base_family
    metadata = {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": ARCHITECTURES.get(family, f"{family}/perfusion"),
        "modelspec.implementation": "perfusion",
        "modelspec.title": description.word,
        "modelspec.trigger_phrase": description.word,
        "perfusion.format": FORMATS[description.gate],
        "perfusion.superclass": description.superclass,
        "perfusion.base": family,
    }
    if description.gate is not GateKind.LEARNED_WORD:
        metadata["perfusion.gate"] = description.gate.value
    for key, text in description.metadata.items():
        metadata[f"{'modelspec' if key in MODELSPEC_KEYS else 'perfusion'}.{key}"] = text
    size = len(compact_json(metadata))
    if size > MAX_METADATA_BYTES:
        raise FormatError(
            f"would hold {size:,} bytes of metadata; expected at most {MAX_METADATA_BYTES:,}. Shorten the description."
        )
    return metadata | {"perfusion.layers": names, "perfusion.widths": widths}


def check_format(metadata: Mapping[str, str]) -> None:
    """Raise FormatError for a file that is no concept, or of a format or a gate that this version does not know."""
    version = metadata.get("perfusion.format")
    if version is None:
        raise FormatError(
            "is a safetensors file, but no concept (it has no 'perfusion.format'). If it is a LoRA, an embedding or a "
            "checkpoint, load it with its own loader."
        )
    if version not in FORMATS.values():
        known = " and ".join(FORMATS.values())
        raise FormatError(f"has concept format {shown(version)}; this version reads formats {known}. Update this pack.")
    gate = metadata.get("perfusion.gate", "")
    if version != FORMATS[GateKind.LEARNED_WORD] and FORMATS.get(gate) != version:
        raise FormatError(
            f"has the gate {shown(gate)}; this version reads {GateKind.POSITION.value!r} in format {version}. Update "
            "this pack."
        )


def read_metadata(metadata: Mapping[str, str]) -> Description:
    """The inverse, for metadata that ``check_format`` let pass; that of other programs is left out.

    Raises FormatError.
    """
    has_word = metadata["perfusion.format"] == FORMATS[GateKind.LEARNED_WORD]
    gate = GateKind.LEARNED_WORD if has_word else GateKind(metadata["perfusion.gate"])
    own = {key.removeprefix("perfusion."): text for key, text in metadata.items() if key.startswith("perfusion.")}
    spec = {key.removeprefix("modelspec."): text for key, text in metadata.items() if key.startswith("modelspec.")}
    own["word"] = spec.get("trigger_phrase", "")
    for key in _RESERVED:
        if not own.get(key):
            raise FormatError(f"lacks the concept's {key}; expected it in the metadata. {RETRAIN}")
    reserved = _RESERVED if gate is GateKind.LEARNED_WORD else (*_RESERVED, "gate")
    texts = {key: text for key, text in own.items() if key not in reserved}
    texts |= {key: spec[key] for key in MODELSPEC_KEYS if key in spec}
    if texts.get("title") == own["word"]:
        del texts["title"]
    description = Description(
        own["word"], own["superclass"], own["base"], decode_layers(own["layers"], own["widths"]), texts, gate
    )
    check_texts(description)
    return description


def check_texts(description: Description) -> None:
    """Raise FormatError for a text that no concept file can hold."""
    if not _FAMILY.fullmatch(description.base_family):
        raise FormatError(
            f"names its model family {shown(description.base_family)}; expected a short name of a-z, 0-9, '_', '.' and "
            f"'-'. {RETRAIN}"
        )
    for key in description.metadata:
        if not _KEY.fullmatch(key) or key in _RESERVED or (key == "gate" and FORMATS[description.gate] != "1"):
            raise FormatError(f"has metadata under the key {shown(key)}; expected another of a-z, 0-9, '_'. Rename it.")
    texts = {**description.metadata, "word": description.word, "superclass": description.superclass}
    for key, text in texts.items():
        plain = text.replace("\n", "") if key == "description" else text
        if any(ord(letter) < 32 or ord(letter) == 127 or 0xD800 <= ord(letter) < 0xE000 for letter in plain):
            raise FormatError(f"has control characters in its {key}: {shown(text)}; expected plain text. Remove them.")
        limit, size = TEXT_LIMITS.get(key, OTHER_TEXT_LIMIT), len(text.encode())
        if size > limit:
            raise FormatError(f"has {size:,} bytes of {key}; expected at most {limit:,}. Shorten it.")


def check_tensors(
    header: Header, layers: Mapping[str, int], gate: GateKind = GateKind.LEARNED_WORD
) -> tuple[Precision, dict[str, int]]:
    """The file's precision and its word embeddings' widths, once every dtype and shape is right. Raises FormatError."""
    entries, has_word = header.entries, gate is GateKind.LEARNED_WORD
    embeddings = {
        name.removeprefix(EMBEDDING_PREFIX): entry.shape[0]
        for name, entry in sorted(entries.items())
        if name.startswith(EMBEDDING_PREFIX)
    }
    if has_word and (not embeddings or not all(_ENCODER.fullmatch(name) for name in embeddings)):
        raise FormatError(f"names the text encoders {shown(list(embeddings))}; expected such as 'l', 'g'. {RETRAIN}")
    for needed in ("encodings", "value_residuals") if has_word else ("value_residuals",):
        if needed not in entries:
            raise FormatError(f"lacks the tensor '{needed}'; expected a whole concept. {RETRAIN}")
    precision = next((p for p, d in TENSOR_DTYPES.items() if d["values"] == entries["value_residuals"].dtype), "fp32")
    if has_word:
        width = min(entries["encodings"].shape[-1], MAX_CONTEXT_WIDTH)
        expected = expected_tensors(precision, width, embeddings, layers, "key_residuals" in entries)
    else:
        expected = expected_tensors(precision, None, {}, layers)
    if set(entries) != set(expected):
        names = sorted(set(entries) ^ set(expected))
        raise FormatError(f"lacks or should not have the tensors {shown(names)}. {RETRAIN}")
    for name, (dtype, shape) in expected.items():
        if (entries[name].dtype, entries[name].shape) != (dtype, shape):
            raise FormatError(
                f"has a tensor {shown(name)} of {entries[name].described}; expected {NAMES[dtype]} {list(shape)}. "
                f"{RETRAIN}"
            )
    return precision, embeddings


def expected_tensors(
    precision: Precision,
    width: int | None,
    embeddings: Mapping[str, int],
    layers: Mapping[str, int],
    has_keys: bool = False,
) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    """Tensor name -> dtype and shape, for a context width (none: no encodings), encoders' widths and layers' widths."""
    dtypes, outputs = TENSOR_DTYPES[precision], sum(layers.values())
    expected = {"value_residuals": (dtypes["values"], (outputs,))}
    if width is not None:
        expected["encodings"] = (dtypes["encodings"], (len(ENCODINGS), width))
    expected |= {EMBEDDING_PREFIX + name: (dtypes["embeddings"], (size,)) for name, size in embeddings.items()}
    if has_keys:
        expected["key_residuals"] = (dtypes["keys"], (outputs,))
    if precision == "int8":
        expected["scales"] = (torch.float32, (len(scale_segments(layers, embeddings)),))
    return expected


def scale_segments(layers: Mapping[str, int], embeddings: Mapping[str, int]) -> list[int]:
    """How many numbers each int8 scale serves: a layer each, then blocks of every word embedding by encoder name."""
    segments = list(layers.values())
    for name in sorted(embeddings):
        full, rest = divmod(embeddings[name], EMBEDDING_BLOCK)
        segments += [EMBEDDING_BLOCK] * full + [rest] * (rest > 0)
    return segments
