"""How the edit's own cost grows: with concepts, tokens, layers, batch and picture size; nothing of the model runs."""

from __future__ import annotations

import statistics
from typing import Any

import torch

from . import host, models
from .scale import Scale
from .timing import rounded, seconds

TOKENS = (77, 154, 385, 770)
BATCHES = (1, 2, 4, 8)


def run(scale: Scale) -> dict[str, list[dict[str, Any]]]:
    tables = {f"Growth with {what}": [] for what in ("concepts", "tokens", "batch")}
    for family in scale.growth_families:
        edits = Edits(family, max(scale.growth_counts), scale.growth_repeats)
        tables["Growth with concepts"] += [edits.row(count, 77, 1) for count in scale.growth_counts]
        tables["Growth with tokens"] += [edits.row(4, tokens, 1) for tokens in TOKENS]
        tables["Growth with batch"] += [edits.row(4, 77, batch) for batch in BATCHES]
    return tables


class Edits:
    """The edit of one family's model, timed apart from the model: once per prompt, and at every layer of one call."""

    def __init__(self, family: str, most: int, repeats: int) -> None:
        self.family, self.repeats = family, repeats
        self.widths = models.layer_widths(models.random_model(family, device="meta"))
        self.concepts = models.random_concepts(family, self.widths, max(most, 4))

    @torch.inference_mode()
    def row(self, count: int, tokens: int, batch: int) -> dict[str, Any]:
        """Milliseconds of one prompt's edit, and of one model call with ``batch`` pictures under guidance."""
        ops, device = host.pack("perfusion_ops"), host.device()
        terms = [ops.EditTerm(concept, ops.Gate(0.6, 0.15)) for concept in self.concepts[:count]]
        combine = self.milliseconds(lambda: ops.JointEdit.of(terms, device))
        edit = ops.JointEdit.of(terms, device)
        generator = torch.Generator().manual_seed(0)
        encodings = torch.randn(1, tokens, models.FAMILIES[self.family].context, generator=generator).to(device)
        context = edit.contexts(encodings)
        rows, dtype = 2 * batch, torch.float16 if device.type == "cuda" else torch.float32
        call = host.pack("nodes.host.model_call").CallEdit(
            keys=context.keys.expand(rows, -1, -1),
            values=context.values.expand(rows, -1, -1),
            gates=context.gates.repeat(rows, 1, 1).to(dtype),
            edit=edit.to(device, dtype),
            regions={},
            latent_shape=(rows, 4, 64, 64),
        )
        widths = set(self.widths.values())
        values = {width: torch.randn(rows, tokens, width, device=device, dtype=dtype) for width in widths}

        def every_layer() -> None:
            for layer, width in self.widths.items():
                call.value_output(layer, values[width])

        return {
            "model": models.FAMILIES[self.family].title,
            "layers": len(self.widths),
            "concepts": count,
            "tokens": tokens,
            "pictures": batch,
            "combining them, ms": combine,
            "once per prompt, ms": self.milliseconds(lambda: edit.contexts(encodings)),
            "per model call, all layers, ms": self.milliseconds(every_layer),
        }

    def milliseconds(self, call) -> float:
        call()
        return rounded(1000 * statistics.median(seconds(call) for _ in range(self.repeats)))
