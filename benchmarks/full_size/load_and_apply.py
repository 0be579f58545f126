"""From a file to a model and a CLIP that know the concept: seconds for the first one and for those after it."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch

from . import host, models
from .scale import Scale
from .timing import seconds

COUNT = 17


def run(scale: Scale) -> dict[str, list[dict[str, Any]]]:
    families = ("sd1", "sd2", "sdxl") if scale.name != "tiny" else ("tiny",)
    return {"Load and apply": [row for family in families for row in load_rows(family)]}


def load_rows(family: str) -> list[dict[str, Any]]:
    """Chain ``COUNT`` concepts from files, as so many Load and Apply nodes do."""
    model = models.random_model(family, device="meta")
    clip = models.random_clip(family, device=torch.device("meta"))
    concept_file = host.pack("perfusion_ops.concept_file")
    node = host.pack("nodes.apply").PerfusionApplyKeyLockedAttention
    loads, applies = [], []
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for concept in models.random_concepts(family, models.layer_widths(model), COUNT):
            paths.append(Path(folder) / f"{concept.word}.safetensors")
            concept_file.save_concept(concept, paths[-1])
        for path in paths:
            loaded: list[Any] = []
            loads.append(seconds(lambda: loaded.append(concept_file.load_concept(path))))  # noqa: B023 - called here
            applied: list[Any] = []
            applies.append(
                seconds(lambda: applied.append(node.execute(model, clip, loaded[0], 1.0, 0.6, 0.15, "local", False)))  # noqa: B023
            )
            model, clip = applied[0].args
    both = [1000 * (load + apply) for load, apply in zip(loads, applies, strict=True)]
    return [
        {
            "model": models.FAMILIES[family].title,
            "first, ms": round(both[0], 1),
            "2nd to 17th, median ms": round(statistics.median(both[1:]), 1),
            "17th, ms": round(both[-1], 1),
            "of it reading the file, median ms": round(1000 * statistics.median(loads[1:]), 1),
        }
    ]
