"""A training step and its memory: this pack's loop beside the host's Train LoRA node."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from . import models
from .scale import Case, Scale
from .timing import NOT_MEASURED, interleaved, ratio_columns
from .trainers import Job, concept_steps, lora_steps

CONCEPT, LORA = "concept", "LoRA"
MEMORY_COLUMNS = (
    "concept, MiB",
    "core Train LoRA, MiB",
    "concept / LoRA",
    "of each a copy of the U-Net, MiB",
    "concept / LoRA without that copy",
)
BENCHMARKS = Path(__file__).resolve().parents[1]


def run(scale: Scale) -> dict[str, list[dict[str, Any]]]:
    memory = [row for case in scale.training for row in memory_rows(case)]
    return {
        "A training step": [row for case in scale.training for row in time_rows(case, scale.training_steps)],
        "Peak memory of training": memory,
    }


def job_of(case: Case, recompute: bool, steps: int) -> Job:
    return Job(case.family, case.batch, case.pixels, case.dtype, recompute, steps)


def case_columns(job: Job) -> dict[str, Any]:
    columns = {"model": models.FAMILIES[job.family].title, "batch": job.batch, "pixels": job.pixels, "dtype": job.dtype}
    return columns | {"checkpointing": "on" if job.recompute else "off"}


def time_rows(case: Case, steps: int) -> list[dict[str, Any]]:
    """Median seconds of a step, the first of each run left out, in interleaved rounds."""
    dtype = getattr(torch, case.dtype)
    model, clip = models.random_model(case.family, dtype), models.random_clip(case.family, dtype)
    rows = []
    for recompute in (False, True):
        job = job_of(case, recompute, steps)
        calls = {
            CONCEPT: lambda job=job: statistics.median(concept_steps(job, model, clip)[1:]),
            LORA: lambda job=job: statistics.median(lora_steps(job, model)[1:]),
        }
        times = interleaved(calls, case.rounds, warm_up=0)
        found = ratio_columns(times, CONCEPT, LORA)
        rows.append(
            case_columns(job)
            | {"concept, s a step": round(statistics.median(times[CONCEPT]), 2)}
            | {"core Train LoRA, s a step": round(statistics.median(times[LORA]), 2)}
            | {"concept / LoRA": found[f"x {LORA}"], "middle half": found["middle half"], "goal": "0.6"}
        )
    return rows


def memory_rows(case: Case) -> list[dict[str, Any]]:
    """Peaks of both trainers, each in a process of its own."""
    rows = []
    for recompute in (False, True):
        job = job_of(case, recompute, 2)
        found = {who: peak_in_subprocess(job, who) for who in (CONCEPT, LORA)}
        concept, lora = found[CONCEPT], found[LORA]
        columns = dict.fromkeys(MEMORY_COLUMNS, NOT_MEASURED)
        if concept["peak"] is not None:
            figures = (concept["peak"], lora["peak"], concept["peak"] / lora["peak"], concept["unet"])
            columns = dict(zip(MEMORY_COLUMNS, (*figures, _apart(concept) / _apart(lora)), strict=True))
        rows.append(case_columns(job) | columns | {"goal": "0.5"})
    return rows


def _apart(found: dict[str, float]) -> float:
    return found["peak"] - found["unet"]


def peak_in_subprocess(job: Job, who: str) -> dict[str, float]:
    """What ``training_memory.py`` prints: the peak in MiB over the loaded model, and the U-Net's weights."""
    command = [sys.executable, "-m", "full_size.training_memory", who, json.dumps(asdict(job))]
    result = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"The memory of {who} training was not measured:\n{result.stderr[-2000:]}")
    return json.loads(result.stdout.splitlines()[-1])
