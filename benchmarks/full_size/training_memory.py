"""Peak memory of one trainer over the loaded model, alone in its process: ``python -m full_size.training_memory``."""

from __future__ import annotations

import json
import sys

import torch

from . import models
from .sampling import load
from .timing import peak_memory
from .trainers import Job, concept_steps, lora_steps


def main(who: str, job: Job) -> None:
    model = models.queued_model(job.family, getattr(torch, job.dtype))
    clip = models.queued_clip(job.family) if who == "concept" else None
    load(model)
    if clip is not None:
        clip.load_model()
    with peak_memory() as peak:
        if clip is not None:
            concept_steps(job, model, clip)
        else:
            lora_steps(job, model)
    print(json.dumps({"peak": peak.mebibytes, "in_all": peak.in_all}))


if __name__ == "__main__":
    main(sys.argv[1], Job(**json.loads(sys.argv[2])))
