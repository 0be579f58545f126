"""How large a concept file is: a random concept of true widths, written as nodes write it."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from perfusion_ops import Concept
from perfusion_ops.concept.file import concept_bytes


def kilobytes(family: str, widths: Mapping[str, int], learned: tuple[int, str, int] | None = None) -> str:
    """``fp16, int8`` of a concept with values of ``widths``, by the position gate.

    ``learned``: with a word, for (width of what K and V read, text encoder, width of its embeddings).
    """
    generator = torch.Generator().manual_seed(0)

    def normal(size: int) -> torch.Tensor:
        return torch.randn(size, generator=generator)

    metadata = {"encoder": "0" * 16, "base_model": "0" * 16, "training": "done=400"}
    parts = {"gate": "position"}
    if learned:
        context, encoder, embedding = learned
        heard = normal(context)
        parts = {"target_input": heard, "target_dual": heard.clone(), "superclass_encoding": normal(context)}
        parts |= {"word_embeddings": {encoder: normal(embedding)}}
        metadata |= {"statistics": "0" * 16}
    concept = Concept(
        **{"word": "my_subject", "superclass": "teddy bear", "base_family": family, "metadata": metadata, **parts},
        value_residuals={layer: normal(width) for layer, width in widths.items()},
    )
    return ", ".join(f"{len(concept_bytes(concept, 'it', precision)) / 1000:.0f}" for precision in ("fp16", "int8"))
