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
from .trainers import CONCEPT, LORA, Job, concept_steps, lora_steps

Row = dict[str, Any]


def run(scale: Scale) -> dict[str, list[Row]]:
    return {
        "A training step": [row for case in scale.training for row in time_rows(case, scale)],
        "Peak memory of training": [memory_row(job) for case in scale.training for job in jobs(case, scale, 2)],
    }


def jobs(case: Case, scale: Scale, steps: int) -> list[Job]:
    return [
        Job(case.family, case.batch, case.pixels, case.dtype, recompute, steps) for recompute in scale.checkpointing
    ]


def case_columns(job: Job) -> Row:
    columns = {"model": models.FAMILIES[job.family].title, "batch": job.batch, "pixels": job.pixels, "dtype": job.dtype}
    return columns | {"checkpointing": "on" if job.recompute else "off"}


def time_rows(case: Case, scale: Scale) -> list[Row]:
    """Median seconds of a step, the first of each run left out, in interleaved rounds."""
    model, clip = models.queued_model(case.family, getattr(torch, case.dtype)), models.queued_clip(case.family)
    rows = []
    for job in jobs(case, scale, scale.training_steps):
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


def memory_row(job: Job) -> Row:
    """Peaks of both trainers, each in a process of its own."""
    concept, lora = (peak_in_subprocess(job, who) for who in (CONCEPT, LORA))
    figures = dict.fromkeys(("concept, MiB", "core Train LoRA, MiB", "concept / LoRA", "concept, in all, MiB"))
    if concept["peak"] is not None:
        measured = (concept["peak"], lora["peak"], concept["peak"] / lora["peak"], concept["in_all"])
        figures = dict(zip(figures, map(rounded, measured), strict=True))
    return case_columns(job) | {name: value or NOT_MEASURED for name, value in figures.items()} | {"goal": "0.5"}


def peak_in_subprocess(job: Job, who: str) -> dict[str, float]:
    """The peak over the loaded model, and in all, in MiB."""
    command = [sys.executable, "-m", "full_size.trainers", who, json.dumps(asdict(job))]
    folder = Path(__file__).resolve().parents[1]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"The memory of {who} training was not measured:\n{result.stderr[-2000:]}")
    return json.loads(result.stdout.splitlines()[-1])
