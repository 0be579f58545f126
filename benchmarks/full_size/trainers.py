"""Two trainers on one model: this pack's loop, wired as its node wires it, and the host's own Train LoRA node.

``python -m full_size.trainers concept|LoRA JOB`` prints one trainer's peak memory over the loaded model, alone in its
process.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from unittest import mock

import torch

from . import host, models
from .sampling import load
from .timing import clock, peak_memory

PICTURES = 4
SUPERCLASS = "teddy bear"
CONCEPT, LORA = "concept", "LoRA"
HOST_DTYPES = {"float32": "fp32", "bfloat16": "bf16"}


@dataclass(frozen=True)
class Job:
    """What both are given."""

    family: str
    batch: int
    pixels: int
    dtype: str
    recompute: bool
    """Gradient checkpointing: each trainer's own default kind of it."""
    steps: int

    def latents(self) -> torch.Tensor:
        """The pictures, encoded (N, 4, h, w)."""
        generator = torch.Generator().manual_seed(0)
        side = self.pixels // 8
        return torch.randn(max(PICTURES, self.batch), 4, side, side, generator=generator)


def concept_steps(job: Job, model: Any, clip: Any) -> list[float]:
    """Seconds of each step of this pack's training, text encoder included; the first also carries its preparation."""
    ops = host.pack("perfusion_ops")
    training, encoders = host.pack("nodes.training.task"), host.pack("nodes.host.encoders")
    times = [clock()]
    with torch.inference_mode(False), torch.enable_grad():
        copies, device = encoders.private_encoders(clip, job.recompute)
        encoder = encoders.HostTextEncoder(clip, copies, SUPERCLASS, device)
        private = training.PrivateModel.of(model, job.dtype, job.recompute)
        pictures = [ops.Picture(latent, latent.new_ones(latent.shape[1:]), latent.flip(-1)) for latent in job.latents()]
        templates = host.pack("perfusion_ops.text.prompts").DEFAULT_TEMPLATES
        metric = torch.eye(models.FAMILIES[job.family].context, dtype=torch.float64)
        task = training.training_task(model, private, encoder, "my_teddy", pictures, templates, metric, {})
        settings = ops.TrainingSettings(steps=job.steps, batch_size=job.batch, micro_batch=job.batch)
        ops.train(task, settings, callback=lambda _report: times.append(clock()))
    return [later - earlier for earlier, later in pairwise(times)]


def lora_steps(job: Job, model: Any) -> list[float]:
    """Seconds of each step of the core node, on prompts encoded beforehand, which it never trains."""
    nodes_train = host.comfy("comfy_extras.nodes_train")
    times = [clock()]

    class Steps:
        def __init__(self, _total: int) -> None:
            pass

        def update(self, _count: int) -> None:
            times.append(clock())

    settings = {
        "batch_size": job.batch,
        "steps": job.steps,
        "grad_accumulation_steps": 1,
        "learning_rate": 5e-4,
        "rank": 8,
        "optimizer": "AdamW",
        "loss_function": "MSE",
        "seed": 0,
        "training_dtype": HOST_DTYPES[job.dtype],
        "lora_dtype": HOST_DTYPES[job.dtype],
        "quantized_backward": False,
        "algorithm": "LoRA",
        "gradient_checkpointing": job.recompute,
        "checkpoint_depth": 1,
        "offloading": False,
        "existing_lora": "[None]",
        "bucket_mode": False,
        "bypass_mode": False,
    }
    lists = {name: [value] for name, value in settings.items()}
    lists |= {"model": [model], "latents": [{"samples": job.latents()}], "positive": [models.conditioning(job.family)]}
    with mock.patch.object(nodes_train, "ProgressBar", Steps):
        nodes_train.TrainLoraNode.execute(**lists)
    return [later - earlier for earlier, later in pairwise(times)]


def main(who: str, job: Job) -> None:
    model = models.queued_model(job.family, getattr(torch, job.dtype))
    clip = models.queued_clip(job.family) if who == CONCEPT else None
    load(model)
    if clip is not None:
        clip.load_model()
    with peak_memory() as peak:
        concept_steps(job, model, clip) if clip is not None else lora_steps(job, model)
    print(json.dumps({"peak": peak.mebibytes, "in_all": peak.in_all}))


if __name__ == "__main__":
    main(sys.argv[1], Job(**json.loads(sys.argv[2])))
