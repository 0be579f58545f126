"""A training step and its peak memory beside the core's Train LoRA, one after the other on one model."""

from __future__ import annotations

import gc
import statistics
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from full_size import host, models, trainers
from full_size.timing import NOT_MEASURED, rounded
from full_size.trainers import Job, concept_steps, lora_steps

CASES = {
    "sd1": tuple(("float16", Job("sd1", batch, 512, "bfloat16", False, 8)) for batch in (1, 4)),
    "sdxl": tuple(
        (weights, Job("sdxl", 1, 1024, "bfloat16", recompute, 6))
        for weights, recompute in (("float16", False), ("float16", True), ("float8_e4m3fn", True))
    ),
    "rehearsal": (("float16", Job("tiny", 1, 64, "float32", True, 2)),),
}
FOUND = ("s a step", "first step, s", "torch peak, MiB", "nvidia-smi peak, MiB", "live between steps, MiB")


def run(family: str, rehearse: bool, folder: Path) -> Iterator[dict[str, Any]]:
    """Two rows a case: the concept's, then the LoRA's."""
    for weights, job in CASES["rehearsal" if rehearse else family]:
        model = models.queued_model(job.family, getattr(torch, weights))
        clip = models.queued_clip(job.family)
        calls = {
            "concept": lambda job=job, model=model, clip=clip: concept_steps(job, model, clip),
            "core Train LoRA, rank 8": lambda job=job, model=model: lora_steps(job, model),
        }
        for name, call in calls.items():
            yield {
                "model": models.FAMILIES[job.family].title,
                "weights": weights,
                "computed in": job.dtype,
                "batch": job.batch,
                "pixels": job.pixels,
                "checkpointing": "on" if job.recompute else "off",
                "training": name,
                **measured(call),
            }
        del model, clip, calls, call


def measured(call: Callable[[], list[float]]) -> dict[str, Any]:
    """Time and memory of one run; of a run that raises, why."""
    host.comfy("comfy.model_management").unload_all_models()
    row = dict.fromkeys(FOUND, NOT_MEASURED)
    try:
        with device_memory(row) if torch.cuda.is_available() else live_memory(row):
            first, *rest = call()
    except Exception as error:  # noqa: BLE001 - the core's trainer may fail in ways of its own
        return row | {"ended": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
    found = {"s a step": rounded(statistics.median(rest)), "first step, s": rounded(first)}
    return row | found | {"ended": "finished"}


@contextmanager
def device_memory(row: dict[str, Any]) -> Iterator[None]:
    """What torch allocated at most, and all that the device held at most."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-lms", "100"]
    try:
        watch = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    except OSError:
        watch = None
    try:
        yield
    finally:
        row["torch peak, MiB"] = torch.cuda.max_memory_allocated() >> 20
        if watch is not None:
            watch.terminate()
            found = [int(line) for line in watch.communicate()[0].split() if line.isdigit()]
            row["nvidia-smi peak, MiB"] = max(found, default=NOT_MEASURED)


@contextmanager
def live_memory(row: dict[str, Any]) -> Iterator[None]:
    """The most that all tensors held at the ends of steps: a second set of weights would be in it."""
    found, clock = [], trainers.clock

    def counting_clock() -> float:
        found.append(live_bytes())
        return clock()

    with mock.patch.object(trainers, "clock", counting_clock):
        yield
    row["live between steps, MiB"] = round(max(found[1:]) / 2**20)


def live_bytes() -> int:
    """Bytes of all memory that tensors of this process stand on, each counted once."""
    storages = (thing.untyped_storage() for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor))
    return sum({s.data_ptr(): s.nbytes() for s in storages if s.device.type == "cpu"}.values())
