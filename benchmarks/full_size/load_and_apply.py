"""From a file to a model and a CLIP that know the concept: seconds for the first one and for those after it."""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from . import host, models
from .scale import Scale
from .timing import clock

COUNT = 17


def run(scale: Scale) -> dict[str, list[dict[str, Any]]]:
    families = ("sd1", "sd2", "sdxl") if scale.name != "tiny" else ("tiny",)
    return {"Load and apply": [load_row(family) for family in families]}


def load_row(family: str) -> dict[str, Any]:
    """Chain ``COUNT`` concepts from files, as so many Load and Apply nodes do."""
    model = models.random_model(family, device="meta")
    clip = models.random_clip(family, device=torch.device("meta"))
    concepts = models.random_concepts(family, models.layer_widths(model), COUNT)
    trained = {"encoder": made_recognisable(clip)}
    concept_file = host.pack("perfusion_ops.concept.file")
    node = host.pack("nodes.apply").PerfusionApplyKeyLockedAttention
    loads, both = [], []
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{concept.word}.safetensors" for concept in concepts]
        for concept, path in zip(concepts, paths, strict=True):
            concept_file.save_concept(replace(concept, metadata=trained), path)
        for path in paths:
            start = clock()
            concept = concept_file.load_concept(path)
            loads.append(1000 * (clock() - start))
            model, clip = node.execute(model, clip, concept, 1.0, 0.6, 0.15, "local", False).args
            both.append(1000 * (clock() - start))
    return {
        "model": models.FAMILIES[family].title,
        "first, ms": round(both[0], 1),
        "2nd to 17th, median ms": round(statistics.median(both[1:]), 1),
        "17th, ms": round(both[-1], 1),
        "of it reading the file, median ms": round(statistics.median(loads[1:]), 1),
    }


def made_recognisable(clip) -> str:
    """Give a CLIP without weights those by which Apply recognises its text encoders; the fingerprint it then has."""
    names = host.pack("nodes.host.clip").text_encoder_names(clip)
    encoders = {name: getattr(clip.cond_stage_model, f"clip_{name}") for name in names}
    for encoder in encoders.values():
        for path, parameter in list(encoder.named_parameters()):
            if "embedding" in path or "norm" in path:
                owner, _, name = path.rpartition(".")
                weight = nn.Parameter(torch.zeros_like(parameter, device="cpu"), requires_grad=False)
                setattr(encoder.get_submodule(owner), name, weight)
    return host.pack("nodes.host.fingerprints").encoder_identity(encoders)
