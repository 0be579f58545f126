"""A file of another implementation as a concept of the host's MODEL and CLIP, and what to say of it."""

from __future__ import annotations

from pathlib import Path

import torch
from comfy.quant_ops import QuantizedTensor
from torch import Tensor

from ...perfusion_ops import Concept, KeyLocking
from ...perfusion_ops.concept.peer_conversion import Conversion, convert
from ...perfusion_ops.concept.peer_files import PERFUSION_PYTORCH, PeerConcept, parse_peer
from ...perfusion_ops.files.strict_json import FormatError
from ...perfusion_ops.files.strict_pickle import read_pickled
from ..families.family import check_fits, family_of, sizes_of, title_of
from ..families.unet import UNet
from .clip import clip_with_concept, text_encoder_names
from .clip_identity import metadata_of
from .concept_words import check_names
from .frozen_layers import is_known
from .private_copies import loaded, patched_weights

KEY_TOLERANCE = 0.01
"""Relative error of the keys above which a file was trained on another model."""


def imported(path: Path, word: str, superclass: str, model, clip, number: int) -> tuple[Concept, str]:
    """The concept in a peer's file, and a report in plain words. Raises ValueError with one sentence."""
    family, encoders = family_of(model), text_encoder_names(clip)
    if not isinstance(family, UNet) or len(encoders) != 1:
        raise ValueError(
            f"{path.name!r} is a file of a program for SD 1.x and SD 2.x, which have one text encoder; this model is "
            f"{family.title}. Connect an SD 1.x or SD 2.x model and its CLIP."
        )
    try:
        widths, width = sizes_of(model)
        peer = parse_peer(read_pickled(path), widths, number)
    except FormatError as error:
        raise ValueError(f"{path.name!r} {error}") from error
    if len(peer.target_input) != width:
        raise ValueError(
            f"{path.name!r} was trained for context width {len(peer.target_input)}, and this {family.title} model has "
            f"{width}. Connect the kind of model that it was trained on."
        )
    word, superclass = check_names(word, superclass)
    texts = {"word": word, "superclass": superclass, "base_family": family.name}
    texts["metadata"] = {**metadata_of(clip), "description": f"From {peer.program}."}
    conversion = convert(peer, _weights(model, list(peer.keys)), texts, encoders[0])
    check_fits(model, conversion.concept)
    # Refuses an embedding that this CLIP cannot take.
    clip_with_concept(clip, conversion.concept, 1.0, KeyLocking.LOCAL)
    return conversion.concept, report(peer, conversion)


@torch.no_grad()
def _weights(model, layers: list[str]) -> dict[str, tuple[Tensor, Tensor]]:
    """Layer name -> ``W_K`` and ``W_V`` as they act, float32 on the CPU."""
    acting = dict(patched_weights(loaded(model), "diffusion_model"))

    def plain(name: str) -> Tensor:
        weight = acting[name]
        if not is_known(weight):
            raise ValueError(
                f"The model's weights are of the kind {type(weight).__name__}, which another pack packs, as GGUF files "
                "are; expected weights that can be read. Connect the same model from a safetensors file."
            )
        return (weight.dequantize() if isinstance(weight, QuantizedTensor) else weight).detach().cpu().float()

    return {layer: (plain(f"{layer}.to_k.weight"), plain(f"{layer}.to_v.weight")) for layer in layers}


def report(peer: PeerConcept, conversion: Conversion) -> str:
    """What was kept, converted and dropped, and how exact it is."""
    concept, error = conversion.concept, conversion.key_error
    title = title_of(concept.base_family)
    lines = [
        f"A concept of {peer.program}, now {concept.word!r} ({concept.superclass}) for {title}.",
        "Kept as it is: the word's embedding, the target input i*, and the file's own inverse covariance, as w.",
        "Converted: the values, one vector for each of "
        f"{len(peer.values)} layers, are now differences from the superclass, so that visual_strength works.",
        f"Keys: the superclass's encoding was found from them. This model's keys reproduce the file's to {error:.2g}.",
    ]
    if error > KEY_TOLERANCE:
        lines.append(
            "Warning: that is much. The file was trained on another checkpoint, so the subject may look different. "
            "Connect the checkpoint that it was trained on."
        )
    lines += _peer_lines(peer, conversion)
    lines.append(
        "Different on purpose: the start-of-text token and prompts without the word, such as the negative prompt, are "
        "not edited here; there they are."
    )
    return "\n".join(lines)


def _peer_lines(peer: PeerConcept, conversion: Conversion) -> list[str]:
    if peer.program == PERFUSION_PYTORCH:
        lines = [f"Layers: the file has no names; its widths fit the order of {peer.order} models."]
        if peer.input_spread > KEY_TOLERANCE:
            lines.append(
                f"Warning: the layers' target inputs differ by {peer.input_spread:.2g}; the first layer's is kept."
            )
        return [*lines, "That program draws with bias 0.7 and temperature 0.15. Set these to draw as it does."]
    places = ", ".join(map(str, conversion.positions)) or "0"
    return [
        f"Dropped: the file has {len(next(iter(peer.values.values())))} vectors a layer, one for each place in the "
        f"prompt. Kept is the mean over the trained places ({places}; 0 is start-of-text), from which they differ by "
        f"{conversion.value_spread:.2g} of their size. The subject is now the same wherever the word stands.",
        "That program draws one concept with bias 0.7 and temperature 0.15. Set these to draw as it does.",
    ]
