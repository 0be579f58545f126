"""The first step of one training by one copy of the pack, from the node's start: CPU seconds of each part.

``python -m full_size.first_step_of make FAMILY FILE`` writes a checkpoint, ``... measure JOB`` prints the parts.
"""

from __future__ import annotations

import functools
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch

from builders import make_checkpoints

from . import host, models
from .readings import readings

FUNCTIONS = {
    "measured": "statistics of 16 captions",
    "loaded": "weights brought in place",
    "fingerprint": "fingerprints",
    "private_encoders": "private text encoders",
    "latent_pictures": "the picture's latent",
}
METHODS = {
    ("PrivateModel", "of"): "private U-Net",
    ("HostTextEncoder", "encode"): "prompts encoded",
    ("HostTextEncoder", "pooled_superclass"): "prompts encoded",
    ("_Loop", "advance"): "forward and backward",
}
"""What both copies of the pack call alike, wherever it lies -> the part of the first step that it is."""
REST = "all else"
PARTS = tuple(dict.fromkeys((*FUNCTIONS.values(), *METHODS.values(), REST)))
TRUE_WIDTH = 320
"""By which the host knows these models."""
SUBJECTS = "dog cat house tree boat car chair lamp bottle flower horse bird bridge clock coat table".split()


@dataclass(frozen=True)
class Job:
    pack: str
    """The folder of the copy."""
    checkpoint: str
    pages: bool
    """Whether the host pages the weights in, as it does on NVIDIA's cards."""
    pixels: int


class Clock:
    """CPU seconds of parts; of nested ones the inner part's alone, until the first step is done."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.running, self.since, self.done = [REST], time.process_time(), False

    def turn(self) -> None:
        """Give the time since the last turn to the part that ran."""
        now = time.process_time()
        if not self.done:
            self.seconds[self.running[-1]] += now - self.since
        self.since = now

    def timed(self, call: Callable, part: str) -> Callable:
        @functools.wraps(call)
        def timed(*args, **kwargs):
            self.turn()
            self.running.append(part)
            try:
                return call(*args, **kwargs)
            finally:
                self.turn()
                self.running.pop()
                self.done = self.done or part == METHODS["_Loop", "advance"]

        return timed

    def watch(self, package: str) -> None:
        """Time what the modules of the pack call."""
        for module in [module for name, module in sys.modules.items() if name.startswith(package)]:
            for name, part in FUNCTIONS.items():
                if callable(vars(module).get(name)):
                    setattr(module, name, self.timed(vars(module)[name], part))
            for (kind, name), part in METHODS.items():
                own = getattr(module, kind, None)
                if own is not None and own.__module__ == module.__name__:
                    method = vars(own)[name]
                    bound = isinstance(method, classmethod)
                    timed = self.timed(method.__func__ if bound else method, part)
                    setattr(own, name, classmethod(timed) if bound else timed)


def measure(job: Job) -> dict[str, Any]:
    """CPU seconds of the parts, all seconds on the wall, and how often an accelerator would wait."""
    host.ROOT, host.PACK = Path(job.pack), job.pack.replace(".", "_x_")
    with tempfile.TemporaryDirectory() as folder, paging() if job.pages else nullcontext(), torch.inference_mode():
        node = host.pack("nodes.train").PerfusionTrainConcept
        folders = host.comfy("folder_paths")
        folders.set_output_directory(folder)
        folders.folder_names_and_paths["perfusion_statistics"] = ([folder], {".safetensors"})
        host.comfy("builders.small_sizes")
        model, clip, vae, _ = host.comfy("comfy.sd").load_checkpoint_guess_config(job.checkpoint)
        inputs = inputs_of(node, model=model, clip=clip, vae=vae, images=torch.rand(1, job.pixels, job.pixels, 3))
        clock, start = Clock(), time.perf_counter()
        clock.watch(host.PACK)
        with readings() as counted:
            statistics = functions(host.PACK, "measured")(clip, [f"a photo of a {subject}" for subject in SUBJECTS])
            node.execute(**inputs, statistics=[statistics])
        wall = time.perf_counter() - start
    return {"parts": clock.seconds, "wall": wall, "readings": sum(counted)}


def functions(package: str, name: str) -> Callable:
    """A function of the pack, in whatever module it lies."""
    return next(vars(m)[name] for key, m in sys.modules.items() if key.startswith(package) and name in vars(m))


def inputs_of(node: Any, **given: Any) -> dict[str, list]:
    """A training of one step on one picture; all else by the node's own defaults."""
    settings = {"steps": 1, "batch_size": 1, "preview_every": 0, "dtype": "float32", "superclass": "bear"}
    defaults = {each.id: getattr(each, "default", None) for each in node.define_schema().inputs}
    chosen = {name: value for name, value in defaults.items() if value is not None}
    return {name: [value] for name, value in {**chosen, **settings, **given}.items()}


@contextmanager
def paging():
    """The host's paging patcher on a CPU, where the host itself would not take it."""
    host.load_host()
    patchers = host.comfy("comfy.model_patcher")
    dynamic = patchers.ModelPatcherDynamic
    buffer = SimpleNamespace(size=0, truncate=lambda *_args, **_more: None)
    with (
        mock.patch.object(host.comfy("comfy_aimdo.host_buffer"), "HostBuffer", lambda *_sizes: buffer),
        mock.patch.object(dynamic, "__new__", lambda kind, *_args, **_more: object.__new__(kind)),
        mock.patch.object(patchers, "CoreModelPatcher", dynamic),
    ):
        yield


def make(family: str, file: str) -> None:
    """A checkpoint in half precision, as a user would download one; its first stage is a small one."""
    host.load_host()
    first_stage = make_checkpoints.random_weights(host.comfy("comfy.taesd.taesd").TAESD(latent_channels=4), 7)
    first_stage |= {"vae_scale": torch.tensor(1.0), "vae_shift": torch.tensor(0.0)}
    stage = SimpleNamespace(get_sd=lambda: {name: tensor.half() for name, tensor in first_stage.items()})
    model, clip = models.random_model(family, torch.float16), models.random_clip(family, torch.float16)
    sizes, notes = models.FAMILIES[family].unet, {}
    if sizes["model_channels"] != TRUE_WIDTH:
        shown = {"input_blocks.0.0.weight": (TRUE_WIDTH, 4, 3, 3)}
        notes[f"model.diffusion_model.{make_checkpoints.KEY}"] = make_checkpoints.note(sizes, shown, {})
    host.comfy("comfy.sd").save_checkpoint(file, model, clip, stage, extra_keys=notes)


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(*sys.argv[2:])
    else:
        print(json.dumps(measure(Job(**json.loads(sys.argv[2])))))
