"""What comes before a training's second step: seconds of each part, and how often an accelerator would wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from . import host, models
from .readings import readings
from .scale import Scale
from .timing import rounded
from .trainers import SUPERCLASS


def run(scale: Scale) -> dict[str, list[dict[str, Any]]]:
    family = "tiny" if scale.name == "tiny" else "sd1"
    model, clip = models.queued_model(family, torch.float16), models.queued_clip(family)
    rows: list[dict[str, Any]] = []

    def part(name: str, call: Callable[[], Any]) -> Any:
        start, worked = time.perf_counter(), time.process_time()
        with readings() as counted:
            found = call()
        row = {"model": models.FAMILIES[family].title, "part": name}
        row["seconds"] = rounded(time.perf_counter() - start)
        row["CPU seconds"] = rounded(time.process_time() - worked)
        rows.append(row | {"readings": sum(counted)})
        return found

    with torch.inference_mode(False), torch.enable_grad():
        _parts(part, family, model, clip)
    return {"The first step": rows}


def _parts(part: Callable, family: str, model: Any, clip: Any) -> None:
    ops, node = host.pack("perfusion_ops"), host.pack("nodes.training.task")
    encoders, copies = host.pack("nodes.host.encoders"), host.pack("nodes.host.private_copies")
    patcher = part("load the model", lambda: copies.loaded(model))
    weights = copies.patched_weights(patcher, "diffusion_model")
    part("fingerprint of the U-Net", lambda: host.pack("nodes.host.fingerprints").fingerprint(weights))
    own, device = part("private text encoders", lambda: encoders.private_encoders(clip))
    encoder = encoders.HostTextEncoder(clip, own, SUPERCLASS, device)
    private = part("private U-Net", lambda: node.PrivateModel.of(model, "float32", False))
    latent = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(0))
    metric = torch.eye(models.FAMILIES[family].context, dtype=torch.float64)
    arguments = ("my_teddy", [ops.Picture(latent)], ("a photo of a {}",), metric, {})
    task = part("task", lambda: node.training_task(model, private, encoder, *arguments))
    for steps in (1, 2):
        settings = ops.TrainingSettings(steps=steps, batch_size=1, report_every=10)
        part(f"a training of {steps}", lambda settings=settings: ops.train(task, settings))
