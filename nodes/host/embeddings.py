"""A concept's word as an ordinary embedding, which ``embedding:name`` in a prompt reads without this pack."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from ...perfusion_ops import Concept, KeyLocking
from ...perfusion_ops.files.atomic import NotSavedError, write_atomically
from ..families.family import title_of
from ..families.unet import UNETS
from .clip import clip_with_concept, text_encoder, vocabulary
from .own_encoders import embedding_of
from .vocabularies import superclass_tokens


def embedding_tensors(concept: Concept, clip) -> dict[str, Tensor]:
    """The vectors that the word stands for, (superclass tokens, width) for each text encoder, as the host names them.

    The superclass's tokens but for its last, as ``clip`` has them, then the learned one: what the word is in a prompt.
    Raises ValueError for a concept of a family or gate whose word is no embedding, or for a CLIP that does not fit.
    """
    if concept.base_family not in (family.name for family in UNETS):
        raise ValueError(
            f"The concept {concept.word!r} was trained for {title_of(concept.base_family)}, where the word alone is no "
            f"embedding that prompts can read. Export takes concepts of {', '.join(unet.title for unet in UNETS)}; for "
            "any other, connect the concept to Apply Key-Locked Attention."
        )
    if not concept.has_learned_word:
        raise ValueError(
            f"The concept {concept.word!r} was trained with the gate 'position', so its word is no embedding: it "
            f"stands for {concept.superclass!r} itself. Export needs a concept with the gate 'learned word'."
        )
    clip_with_concept(clip, concept, 1.0, KeyLocking.LOCAL)
    found = {}
    for name, learned in concept.word_embeddings.items():
        before = superclass_tokens(vocabulary(clip, name), concept.superclass)[:-1]
        rows = [embedding_of(text_encoder(clip, name), token).cpu() for token in before]
        found[name] = torch.stack([*rows, learned])
    if len(found) == 1:
        return {"emb_params": next(iter(found.values()))}
    return {f"clip_{name}": tensor for name, tensor in found.items()}


def write_embedding(concept: Concept, clip, path: Path) -> None:
    """Write the file whole or not at all. Raises ValueError as ``embedding_tensors`` does, or if it cannot."""
    data = safetensors.torch.save(embedding_tensors(concept, clip))
    try:
        write_atomically(path, data)
    except NotSavedError as error:
        raise ValueError(str(error)) from error
