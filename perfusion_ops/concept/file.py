"""Concept files: safetensors of a few kilobytes (docs/concept_format.md).

``fp32`` keeps every bit. ``fp16`` rounds each number to 11 significant bits, after the dual's scale, which cancels
everywhere, is brought to 1. ``int8`` rounds values and word embeddings to 1/254 of the largest of their scale's
segment and the rest as fp16.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..files.atomic import NotSavedError, write_atomically
from ..files.strict_json import FormatError
from ..files.strict_safetensors import pack, read_bounded, read_header, read_tensors
from .concept import ENCODINGS, Concept
from .file_schema import (
    EMBEDDING_PREFIX,
    MAX_FILE_BYTES,
    TENSOR_DTYPES,
    Description,
    Precision,
    check_format,
    check_tensors,
    describe,
    read_metadata,
    scale_segments,
    write_metadata,
)
from .layer_table import natural_key

INT8_MAX = 127


class ConceptFileError(ValueError):
    """A concept file cannot be read or written. The sentence names the file, what is wrong and what to do."""


def save_concept(concept: Concept, path: str | os.PathLike[str], precision: Precision = "fp16") -> None:
    """Write ``concept`` to ``path``, whole or not at all; the same concept gives the same bytes.

    Raises:
        ConceptFileError: the folder or disk refuses the file, or the concept holds what a file cannot. A file that was
            there before is then untouched.
    """
    path = Path(path)
    data = concept_bytes(concept, path.name, precision)
    try:
        write_atomically(path, data)
    except NotSavedError as error:
        raise ConceptFileError(str(error)) from error


def load_concept(path: str | os.PathLike[str]) -> Concept:
    """Read a concept file of any precision.

    The file's size is bounded before it is read and its header is checked before a tensor is made, so that no file
    takes more than 32 MiB of memory.

    Raises:
        ConceptFileError: the file is missing, damaged, of another kind or of another format.
    """
    path = Path(path)
    try:
        data = read_bounded(path, MAX_FILE_BYTES)
    except FormatError as error:
        raise ConceptFileError(f"{path.name!r} {error}") from error
    return parse_concept(data, path.name)


def concept_bytes(concept: Concept, name: str, precision: Precision = "fp16") -> bytes:
    """The concept file as bytes; ``name`` is for messages. Raises ConceptFileError as ``save_concept`` does."""
    if precision not in TENSOR_DTYPES:
        raise ValueError(f"Unknown precision {precision!r}; expected one of {', '.join(TENSOR_DTYPES)}.")
    try:
        description = describe(concept)
        tensors = _file_tensors(concept, precision)
        for tensor_name, tensor in tensors.items():
            if not torch.isfinite(tensor).all():
                raise FormatError(
                    f"would lose numbers above 65,504 of its {tensor_name} in {precision}; save it as fp32."
                )
        data = pack(tensors, write_metadata(description))
        if len(data) > MAX_FILE_BYTES:
            raise FormatError(f"would be {len(data):,} bytes long; expected at most {MAX_FILE_BYTES:,}.")
    except FormatError as error:
        raise ConceptFileError(f"{name!r} {error}") from error
    # What is written must be readable: rounding may have taken a concept's energy.
    parse_concept(data, name)
    return data


def parse_concept(data: bytes, name: str) -> Concept:
    """The concept in a file's bytes; ``name`` is for messages. Raises ConceptFileError as ``load_concept`` does."""
    try:
        header = read_header(data, check_format)
        description = read_metadata(header.metadata)
        precision, embeddings = check_tensors(header, description.layers, description.gate)
        tensors = read_tensors(data, header)
        if precision == "int8":
            _restore_int8(tensors, scale_segments(description.layers, embeddings))
        return _concept(description, tensors)
    except FormatError as error:
        raise ConceptFileError(f"{name!r} {error}") from error
    except ValueError as error:
        raise ConceptFileError(f"{name!r} holds no valid concept. {error}") from error


def _file_tensors(concept: Concept, precision: Precision) -> dict[str, Tensor]:
    dtypes = TENSOR_DTYPES[precision]
    tensors = {"value_residuals": _concatenated(concept.value_residuals)}
    if concept.has_learned_word:
        tensors["encodings"] = _encodings(concept, precision).to(dtypes["encodings"])
    tensors |= {EMBEDDING_PREFIX + name: e for name, e in sorted(concept.word_embeddings.items())}
    if precision == "int8":
        layers = {name: concept.value_residuals[name].shape[0] for name in _ordered(concept.value_residuals)}
        widths = {name: embedding.shape[0] for name, embedding in concept.word_embeddings.items()}
        _round_to_int8(tensors, scale_segments(layers, widths))
    else:
        tensors = {name: tensor.to(dtypes["values"]) for name, tensor in tensors.items()}
    if concept.key_residuals:
        tensors["key_residuals"] = _concatenated(concept.key_residuals).to(dtypes["keys"])
    return tensors


def _encodings(concept: Concept, precision: Precision) -> Tensor:
    vectors = {name: getattr(concept, name) for name in ENCODINGS}
    if precision != "fp32":
        vectors["target_dual"] = _unit_scaled(vectors["target_dual"])
    return torch.stack(list(vectors.values()))


def _unit_scaled(dual: Tensor) -> Tensor:
    """The dual times the power of two that brings its largest number to [1/2, 1): exact, and safe in fp16."""
    return torch.ldexp(dual, -torch.frexp(dual.abs().max()).exponent)


def _concatenated(residuals: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([residuals[name] for name in _ordered(residuals)])


def _ordered(residuals: Mapping[str, Tensor]) -> list[str]:
    return sorted(residuals, key=natural_key)


def _int8_names(tensors: Mapping[str, Tensor]) -> list[str]:
    """The tensors that share ``scales``, in the order of its segments."""
    return ["value_residuals", *sorted(name for name in tensors if name.startswith(EMBEDDING_PREFIX))]


def _round_to_int8(tensors: dict[str, Tensor], segments: list[int]) -> None:
    names = _int8_names(tensors)
    numbers = torch.cat([tensors[name] for name in names])
    scales = torch.stack([segment.abs().max() for segment in numbers.split(segments)]) / INT8_MAX
    steps = torch.where(scales > 0, scales, 1.0).repeat_interleave(torch.tensor(segments))
    # Beside a subnormal scale, itself rounded, a quotient may pass 127.
    rounded = (numbers / steps).round().clamp(-INT8_MAX, INT8_MAX).to(torch.int8)
    parts = rounded.split([tensors[name].shape[0] for name in names])
    tensors |= dict(zip(names, parts, strict=True)) | {"scales": scales}


def _restore_int8(tensors: dict[str, Tensor], segments: list[int]) -> None:
    names, scales = _int8_names(tensors), tensors.pop("scales")
    if scales.min() < 0:
        raise FormatError("has a negative scale; expected 0 or more. Save the concept again.")
    numbers = torch.cat([tensors[name] for name in names]).float()
    for part, scale in zip(numbers.split(segments), scales, strict=True):
        part *= scale
    tensors |= dict(zip(names, numbers.split([tensors[name].shape[0] for name in names]), strict=True))


def _concept(description: Description, tensors: Mapping[str, Tensor]) -> Concept:
    wide = {name: tensor.float() for name, tensor in tensors.items()}

    def by_layer(name: str) -> dict[str, Tensor]:
        if name not in wide:
            return {}
        parts = wide[name].split(list(description.layers.values()))
        return {layer: part.clone() for layer, part in zip(description.layers, parts, strict=True)}

    encodings = zip(ENCODINGS, wide["encodings"], strict=True) if "encodings" in wide else ()
    return Concept(
        word=description.word,
        superclass=description.superclass,
        base_family=description.base_family,
        **{name: row.clone() for name, row in encodings},
        word_embeddings={
            name.removeprefix(EMBEDDING_PREFIX): tensor.clone()
            for name, tensor in sorted(wide.items())
            if name.startswith(EMBEDDING_PREFIX)
        },
        value_residuals=by_layer("value_residuals"),
        key_residuals=by_layer("key_residuals"),
        metadata=description.metadata,
        gate=description.gate,
    )
