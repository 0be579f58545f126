"""The files of two other implementations of Tewel et al. 2023, as their published sources write them.

perfusion-pytorch (``save`` in save_load.py): ``embed_params`` (c, n), ``C_inv`` (d, d), and ``key_value_params``, one
``[i* (c, d), o* (c, d_out)]`` for each key and value projection in the order of the network's modules, without names.

Key-Locked-Rank-One-Editing (``on_save_checkpoint`` in perfusion/perfusion.py): ``C_inv`` (d, d), ``target_input`` (d,),
``embedding`` with ``string_to_param`` (1, n), and ``target_output``, one (77, d_out) for each projection by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..files.strict_json import FormatError, shown
from ..files.strict_pickle import Inert

PERFUSION_PYTORCH, KEY_LOCKED = "perfusion-pytorch", "Key-Locked-Rank-One-Editing"
MAX_POSITIONS = 77


@dataclass(frozen=True)
class PeerConcept:
    """One concept of a peer's file, float32. P = token positions: 1, or 77 where outputs were kept by position."""

    program: str
    target_input: Tensor
    """``i*`` (d,)."""
    inverse_covariance: Tensor
    """``C^-1`` (d, d)."""
    word_embedding: Tensor
    """(width of the text encoder,)."""
    keys: Mapping[str, Tensor]
    """Layer name -> ``o*_K`` (P, d_out)."""
    values: Mapping[str, Tensor]
    """Layer name -> ``o*_V`` (P, d_out)."""
    order: str = "by name"
    """How its outputs were given to layers."""
    input_spread: float = 0.0
    """Largest difference of the file's target inputs from one another, relative to the largest number of ``i*``."""


def parse_peer(content: Any, layers: Mapping[str, int], number: int = 1) -> PeerConcept:
    """The concept ``number`` (from 1) of a file's content, for a model of these ``layers`` (name -> width).

    ``layers`` are in the order of original Stable Diffusion files. Raises FormatError.
    """
    if not isinstance(content, dict):
        raise FormatError(f"holds {shown(type(content).__name__)}; expected a dictionary, as the two programs save.")
    if "key_value_params" in content:
        return _perfusion_pytorch(content, layers, number)
    if "target_output" in content:
        if number != 1:
            raise FormatError(f"holds one concept; number {number} was asked for. Set concept_number to 1.")
        return _key_locked(content, layers)
    raise FormatError(
        f"holds {shown(sorted(map(str, content))[:8])}; expected 'key_value_params' (perfusion-pytorch) or "
        "'target_output' (Key-Locked-Rank-One-Editing). Load it with the loader of its own program."
    )


def _perfusion_pytorch(content: dict, layers: Mapping[str, int], number: int) -> PeerConcept:
    pairs = content["key_value_params"]
    if not isinstance(pairs, (list, tuple)) or not all(isinstance(p, (list, tuple)) and len(p) == 2 for p in pairs):
        raise FormatError("has 'key_value_params' that are no list of pairs; expected input and output of each layer.")
    inputs = [_tensor(pair[0], "an input", 2) for pair in pairs]
    outputs = [_tensor(pair[1], "an output", 2) for pair in pairs]
    if len(pairs) != 2 * len(layers):
        raise FormatError(
            f"holds outputs of {len(pairs)} projections; expected {2 * len(layers)}, a key and a value for each of "
            f"this model's {len(layers)} cross-attention layers. Connect the kind of model that it was trained on."
        )
    embeddings = _tensor(content.get("embed_params"), "'embed_params', the word's embedding", 2)
    counts = {len(tensor) for tensor in (*inputs, *outputs, embeddings)}
    if len(counts) != 1 or not 1 <= number <= min(counts):
        raise FormatError(f"holds {min(counts)} concepts; number {number} was asked for. Correct concept_number.")
    chosen = number - 1
    target_inputs = torch.stack([tensor[chosen] for tensor in _alike(inputs)])
    target_input = target_inputs[0].clone()
    order, names = _named(layers, [tensor.shape[1] for tensor in outputs[::2]])
    return PeerConcept(
        PERFUSION_PYTORCH,
        target_input,
        _inverse(content, target_input),
        embeddings[chosen].clone(),
        {name: outputs[2 * n][chosen : number].clone() for n, name in enumerate(names)},
        {name: outputs[2 * n + 1][chosen : number].clone() for n, name in enumerate(names)},
        order,
        ((target_inputs - target_input).abs().max() / target_input.abs().max().clamp_min(1e-30)).item(),
    )


def _named(layers: Mapping[str, int], widths: Sequence[int]) -> tuple[str, list[str]]:
    """The layers that unnamed outputs belong to: in the order of original files or, if only that fits, of diffusers.

    diffusers registers the middle block after all others.
    """
    original = list(layers)
    middle = [name for name in original if "middle" in name]
    diffusers = [name for name in original if name not in middle] + middle
    for order, names in (("original Stable Diffusion", original), ("diffusers", diffusers)):
        if [layers[name] for name in names] == list(widths):
            return order, names
    raise FormatError(
        f"has outputs of widths {shown(list(widths))}, which fit no order of this model's layers "
        f"({shown(list(layers.values()))}). Connect the kind of model that it was trained on."
    )


def _key_locked(content: dict, layers: Mapping[str, int]) -> PeerConcept:
    outputs = content["target_output"]
    if not isinstance(outputs, dict):
        raise FormatError("has a 'target_output' that is no dictionary; expected layer names and tensors.")
    found: dict[str, dict[str, Tensor]] = {"to_k": {}, "to_v": {}}
    for name, width in layers.items():
        for projection, kept in found.items():
            key = f"{name}.{projection}.target_output"
            tensor = _tensor(outputs.get(key), f"the output {shown(key)}", 2)
            if tensor.shape[1] != width or len(tensor) > MAX_POSITIONS:
                raise FormatError(
                    f"has {shown(key)} of shape {list(tensor.shape)}; expected at most {MAX_POSITIONS} positions of "
                    f"{width}. Connect the kind of model that it was trained on."
                )
            kept[name] = tensor
    if len(outputs) != 2 * len(layers) or len({len(t) for group in found.values() for t in group.values()}) != 1:
        raise FormatError(
            f"holds {len(outputs)} outputs, or outputs of different numbers of positions; expected "
            f"{2 * len(layers)} alike. Connect the kind of model that it was trained on."
        )
    target_input = _tensor(content.get("target_input"), "'target_input'", 1)
    return PeerConcept(
        KEY_LOCKED, target_input, _inverse(content, target_input), _placeholder(content), found["to_k"], found["to_v"]
    )


def _placeholder(content: dict) -> Tensor:
    embedding = content.get("embedding")
    words = embedding.get("string_to_param") if isinstance(embedding, dict) else None
    if isinstance(words, Inert):
        words = vars(words).get("_parameters")
    if not isinstance(words, dict) or len(words) != 1:
        raise FormatError("lacks the word's embedding ('embedding' with one 'string_to_param'); expected one word.")
    vectors = _tensor(next(iter(words.values())), "the word's embedding", 2)
    if len(vectors) != 1:
        raise FormatError(f"has a word of {len(vectors)} vectors; expected one. A concept's word is one token here.")
    return vectors[0].clone()


def _inverse(content: dict, target_input: Tensor) -> Tensor:
    inverse, width = _tensor(content.get("C_inv"), "'C_inv', the inverse covariance", 2), len(target_input)
    if inverse.shape != (width, width):
        raise FormatError(f"has a 'C_inv' of shape {list(inverse.shape)}; expected [{width}, {width}], as its input.")
    return inverse


def _alike(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    if len({tensor.shape for tensor in tensors}) != 1:
        raise FormatError("has inputs of different shapes; expected one target input for all layers.")
    return tensors


def _tensor(value: Any, what: str, dimensions: int) -> Tensor:
    if not isinstance(value, Tensor) or value.layout is not torch.strided or not value.is_floating_point():
        raise FormatError(f"lacks {what}; expected a tensor of numbers. Get the file from its author again.")
    # A tensor may claim more numbers than the file holds: a stride of 0 costs it nothing.
    held = value.untyped_storage().nbytes() // value.element_size()
    if value.ndim != dimensions or not 0 < value.numel() <= held:
        raise FormatError(f"has {what} of shape {list(value.shape)}; expected {dimensions} dimensions, in full.")
    value = value.detach().float().contiguous()
    if not torch.isfinite(value).all():
        raise FormatError(f"has {what} with numbers that are not finite. Get the file from its author again.")
    return value
