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
from .timing import NOT_MEASURED, interleaved, ratio_columns, rounded
from .trainers import Job, concept_steps, lora_steps

CONCEPT, LORA = "concept", "LoRA"
MEMORY_COLUMNS = (
    "concept, MiB",
    "core Train LoRA, MiB",
    "concept / LoRA",
    "concept, in all, MiB",
)
BENCHMARKS = Path(__file__).resolve().parents[1]


def run(scale: Scale) -> dict[str, list[dict[str, Any]]]:
    return {
        "A training step": [row for case in scale.training for row in time_rows(case, scale)],
        "Peak memory of training": [row for case in scale.training for row in memory_rows(case, scale)],
    }


def job_of(case: Case, recompute: bool, steps: int) -> Job:
    return Job(case.family, case.batch, case.pixels, case.dtype, recompute, steps)


def case_columns(job: Job) -> dict[str, Any]:
    columns = {"model": models.FAMILIES[job.family].title, "batch": job.batch, "pixels": job.pixels, "dtype": job.dtype}
    return columns | {"checkpointing": "on" if job.recompute else "off"}


def time_rows(case: Case, scale: Scale) -> list[dict[str, Any]]:
    """Median seconds of a step, the first of each run left out, in interleaved rounds."""
    model, clip = models.queued_model(case.family, getattr(torch, case.dtype)), models.queued_clip(case.family)
    rows = []
    for recompute in scale.checkpointing:
        job = job_of(case, recompute, scale.training_steps)
        calls = {
            CONCEPT: lambda job=job: statistics.median(concept_steps(job, model, clip)[1:]),
            LORA: lambda job=job: statistics.median(lora_steps(job, model)[1:]),
        }
        times = interleaved(calls, case.rounds, warm_up=0)
        found = ratio_columns(times, CONCEPT, LORA)
        rows.append(
            case_columns(job)
            | {"concept, s a step": rounded(statistics.median(times[CONCEPT]))}
            | {"core Train LoRA, s a step": rounded(statistics.median(times[LORA]))}
            | {"concept / LoRA": found[f"x {LORA}"], "middle half": found["middle half"], "goal": "0.6"}
        )
    return rows


def memory_rows(case: Case, scale: Scale) -> list[dict[str, Any]]:
    """Peaks of both trainers, each in a process of its own."""
    rows = []
    for recompute in scale.checkpointing:
        job = job_of(case, recompute, 2)
        found = {who: peak_in_subprocess(job, who) for who in (CONCEPT, LORA)}
        concept, lora = found[CONCEPT], found[LORA]
        columns = dict.fromkeys(MEMORY_COLUMNS, NOT_MEASURED)
        if concept["peak"] is not None:
            columns = dict(zip(MEMORY_COLUMNS, _memory_figures(concept, lora), strict=True))
        rows.append(case_columns(job) | columns | {"goal": "0.5"})
    return rows


def _memory_figures(concept: dict[str, float], lora: dict[str, float]) -> list[float]:
    figures = (concept["peak"], lora["peak"], concept["peak"] / lora["peak"], concept["in_all"])
    return [rounded(figure) for figure in figures]


def peak_in_subprocess(job: Job, who: str) -> dict[str, float]:
    """What ``training_memory.py`` prints: the peak over the loaded model, and in all, in MiB."""
    command = [sys.executable, "-m", "full_size.training_memory", who, json.dumps(asdict(job))]
    result = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"The memory of {who} training was not measured:\n{result.stderr[-2000:]}")
    return json.loads(result.stdout.splitlines()[-1])
