"""Servers started in every memory mode, several at a time: what they draw and train at full size."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import torch

from builders.server import Server, WorkflowError
from builders.true_checkpoints import WORDS, write_checkpoint, write_concepts
from builders.workflows import Workflow, load, mean_difference, picture, train
from full_size import host, models
from full_size.timing import NOT_MEASURED

FLAGS = (
    (),
    ("--fp8_e4m3fn-unet",),
    ("--novram",),
    ("--lowvram",),
    ("--highvram",),
    ("--gpu-only",),
    ("--disable-dynamic-vram",),
    ("--disable-dynamic-vram", "--lowvram"),
    ("--fast",),
    ("--bf16-unet", "--bf16-vae"),
    ("--force-fp32",),
)
REHEARSED = 2
"""How many of ``FLAGS``, from the first on, a rehearsal starts."""
GIB_FOR_ONE = 14
"""Free GPU memory that one more server at a time asks for."""
COLUMNS = (
    "edited differs from plain, grey levels",
    "two concepts differ from one, grey levels",
    "edited repeats to the bit",
    "prompt without the concept stays plain to the bit",
    "edited after training, the same",
    "training steps",
    "first step, s",
    "s a step",
    "torch held in training, MiB",
)


def run(rehearse: bool, folder: Path) -> Iterator[dict[str, Any]]:
    """A row per server, as each ends; SD 1.5 in every mode, SDXL in the first two."""
    plan = [("sd1_short" if rehearse else "sd1", flags) for flags in FLAGS]
    plan += [] if rehearse else [("sdxl", flags) for flags in FLAGS[:REHEARSED]]
    todo = plan[:REHEARSED] if rehearse else plan
    for family in dict(todo):
        write_checkpoint(family, folder / f"{family}.safetensors")
        write_concepts(family, folder / family)
    at_once = REHEARSED if rehearse else servers_at_once()
    with ThreadPoolExecutor(at_once) as pool:
        jobs = [pool.submit(served, folder / f"server{n}", *job, rehearse) for n, job in enumerate(todo)]
        for job in as_completed(jobs):
            yield job.result()
    for family, flags in plan[len(todo) :]:
        yield named(family, flags) | dict.fromkeys(COLUMNS, NOT_MEASURED) | {"ended": "left out of the rehearsal"}


def servers_at_once() -> int:
    """As many as the free memory holds, once this process has let go of its own."""
    host.comfy("comfy.model_management").unload_all_models()
    torch.cuda.empty_cache()
    return max(1, min(5, torch.cuda.mem_get_info()[0] // (GIB_FOR_ONE << 30)))


def named(family: str, flags: tuple[str, ...]) -> dict[str, Any]:
    return {"server": " ".join(flags) or "default", "model": models.FAMILIES[family].title}


def served(base: Path, family: str, flags: tuple[str, ...], rehearse: bool) -> dict[str, Any]:
    """The row of the server in folder ``base``; what it could not do stays "not measured", and ``ended`` says why."""
    row = named(family, flags) | dict.fromkeys(COLUMNS, NOT_MEASURED)
    (base / "models/checkpoints").mkdir(parents=True)
    (base / f"models/checkpoints/{family}.safetensors").symlink_to(base.parent / f"{family}.safetensors")
    (base / "models/perfusion").symlink_to(base.parent / family, target_is_directory=True)
    side = 64 if rehearse else {"sd1": 512, "sdxl": 1024}[family]
    try:
        with Server(host.host_path(), base, flags, helpers=False) as server:
            studio = Studio(server, family, side, 2 if rehearse else 6)
            for found in (studio.pictures, studio.training, studio.after):
                row |= found()
        return row | {"ended": "finished"}
    except (WorkflowError, RuntimeError, OSError) as error:
        return row | {"ended": str(error).splitlines()[0][:200]}


class Studio:
    """The pictures and the training of one running server."""

    def __init__(self, server: Server, family: str, side: int, steps: int) -> None:
        self.server, self.family, self.side, self.steps = server, family, side, steps

    def draw(self, text: str, *words: str) -> np.ndarray:
        concepts = [(f"{word}.safetensors", {}) for word in words]
        graph, node = picture(f"a photo of a {text}", concepts, family=self.family, size=self.side, steps=self.steps)
        return self.server.pictures(self.server.run(graph), node)

    def pictures(self) -> dict[str, Any]:
        word, other = WORDS
        # The host alone does not repeat the first picture after it loaded a model.
        self.draw("house")
        plain, self.edited = self.draw("teddy bear"), self.draw(word, word)
        beside = self.draw("teddy bear", word, other)
        both = self.draw(f"{word} and a {other}", word, other)
        again = self.draw(word, word)
        found = (
            round(mean_difference(self.edited, plain), 2),
            round(mean_difference(both, self.edited), 2),
            np.array_equal(again, self.edited),
            np.array_equal(beside, plain),
        )
        return dict(zip(COLUMNS, found, strict=False))

    def training(self) -> dict[str, Any]:
        graph, marks, held = Workflow(), [], []
        images = graph.add("EmptyImage", width=self.side, height=self.side, batch_size=2, color=0x4080C0)[0]
        settings = {"steps": self.steps + 1, "resolution": max(self.side, 512)}
        node = train(
            graph, images, load(graph, self.family), gradient_checkpointing=self.family == "sdxl", **settings
        )
        graph.add("PreviewAny", source=node[2])

        def watch(server: Server, event: dict) -> None:
            if event["type"] == "progress" and str(event["data"].get("node")) == node.name:
                marks.append((time.perf_counter(), event["data"]["value"]))
                device = server.get("/system_stats")["devices"][0]
                held.append(device["torch_vram_total"] / 2**20 if device["type"] == "cuda" else None)

        begin = time.perf_counter()
        self.server.run(graph, watch)
        (first, _), (last, count) = marks[0], marks[-1]
        return {
            "training steps": count,
            "first step, s": round(first - begin, 2),
            "s a step": round((last - first) / (count - marks[0][1]), 3),
            "torch held in training, MiB": round(max(held)) if held[0] is not None else NOT_MEASURED,
        }

    def after(self) -> dict[str, Any]:
        word = WORDS[0]
        return {"edited after training, the same": np.array_equal(self.draw(word, word), self.edited)}
