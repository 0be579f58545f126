"""What the demo does through ComfyUI's API: fill in a shipped workflow, queue it, look at what it left."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from builders.server import Server
from builders.ui_workflows import TRAIN, TWO, USE, nodes_of, set_inputs, shipped, to_api
from pixelworld.captions import Caption
from pixelworld.concepts import TEMPLATES
from pixelworld.once import corpus
from pixelworld.scene import training_pictures
from proof.recipes import learning_of
from proof.specs import OURS, Subject

from .studio import PROMPTS, SEED, Star

CELL = 8
"""Picture pixels per cell of the pixel world."""
SAMPLING = {"steps": 9, "cfg": 3.0, "sampler_name": "dpmpp_2m", "scheduler": "sgm_uniform"}
BIAS = 0.6


@dataclass(frozen=True)
class Plan:
    """How much the demo does."""

    steps: int = 50
    batch_size: int = 4
    captions: int = 200
    """Captions of the pixel world's language for the text statistics: few, as its words are few."""
    prompts: tuple[Caption, ...] = PROMPTS[:4]
    biases: tuple[float, ...] = (0.3, 0.45, 0.6, 0.75, 0.9)
    queued: int = 12
    compared: int = 4
    """Pictures of two that are also drawn without them."""

    def training(self) -> dict[str, Any]:
        """Inputs of Train Perfusion Concept, at the learning rates that the proof tuned."""
        learning = learning_of(OURS, Subject(0), steps=self.steps, batch_size=self.batch_size)
        return {
            "steps": learning.steps,
            "batch_size": learning.batch_size,
            "micro_batch": learning.batch_size,
            "value_learning_rate": learning.rate,
            "word_learning_rate": learning.word_rate,
            "bias": learning.bias,
            "temperature": learning.temperature,
            "flip": False,
            # Every distinct template of a batch goes through all of CLIP-L and back, which counts on a CPU.
            "templates": "\n".join(TEMPLATES[:2]),
            "preview_every": 0,
        }


QUICK = Plan(steps=2, batch_size=2, captions=60, prompts=PROMPTS[:1], biases=(0.3, 0.6), queued=2, compared=1)
"""Whether everything runs; nothing is learned."""


@dataclass(frozen=True)
class Wish:
    """One picture of one workflow: the text with the concepts' words, and the same with the superclasses."""

    text: str
    plain: str
    seed: int
    bias: float = BIAS
    strength: float = 1.0
    compared: bool = True
    """Whether the workflow for two also draws the picture without them."""


class HostStudio:
    """Shipped workflows on a running server, with the pixel world's checkpoint."""

    def __init__(self, server: Server, checkpoint: str, plan: Plan) -> None:
        self.server, self.checkpoint, self.plan = server, checkpoint, plan

    def workflow(self, name: str) -> dict[str, dict]:
        """A shipped workflow in API form."""
        graph = to_api(shipped(name), self.server)
        set_inputs(graph, "CheckpointLoaderSimple", ckpt_name=self.checkpoint)
        return graph

    def train(self, star: Star) -> float:
        """Train on the star's pictures and their masks, saved under the star's name; seconds it took."""
        started = time.monotonic()
        graph = self.workflow(TRAIN)
        loaders = nodes_of(graph, "LoadImage")
        for loader, name in zip(loaders, picture_names(star), strict=True):
            graph[loader]["inputs"]["image"] = name
        (train,) = nodes_of(graph, "PerfusionTrainConcept")
        graph["masks"] = {
            "class_type": "CreateList",
            "inputs": {f"inputs.input{number}": [loader, 1] for number, loader in enumerate(loaders)},
        }
        captions = {"captions": 100, "own_captions": "\n".join(corpus(self.plan.captions))}
        graph["statistics"] = {
            "class_type": "PerfusionTextStatistics",
            "inputs": {"clip": graph[train]["inputs"]["clip"], **captions},
        }
        names = {"word": star.word, "superclass": star.individual.class_word}
        set_inputs(graph, "PerfusionTrainConcept", **names, **self.plan.training())
        graph[train]["inputs"] |= {"masks": ["masks", 0], "statistics": ["statistics", 0]}
        set_inputs(graph, "PerfusionSaveConcept", filename=star.name, overwrite=True)
        self.server.run(graph)
        return time.monotonic() - started

    def draw(self, stars: Sequence[Star], wishes: Sequence[Wish]) -> list[np.ndarray]:
        """Queue all wishes at once and wait. For one star the pictures (N, 16, 16, 3) in [0, 1] with its concept; for
        two those with both concepts, and then those without, of the wishes to be compared."""
        events = self.server.events()
        queued = [self._queue(self._drawing(stars, wish)) for wish in wishes]
        results = [(self.server.wait(prompt, events), saves) for prompt, saves in queued]
        events.close()
        drawn = [[self.server.pictures(result, save) for save in saves] for result, saves in results]
        return [
            shrunk(np.concatenate([pictures[index] for pictures in drawn if index < len(pictures)]))
            for index in range(max(map(len, drawn)))
        ]

    def _queue(self, graph: dict[str, dict]) -> tuple[str, list[str]]:
        return self.server.queue(graph), nodes_of(graph, "SaveImage")

    def _drawing(self, stars: Sequence[Star], wish: Wish) -> dict[str, dict]:
        graph = self.workflow(USE if len(stars) == 1 else TWO)
        for node, star in zip(nodes_of(graph, "PerfusionLoadConcept"), stars, strict=True):
            graph[node]["inputs"]["concept"] = f"{star.name}.safetensors"
        for node, text in zip(nodes_of(graph, "KSampler"), (wish.text, wish.plain), strict=False):
            inputs: dict[str, Any] = graph[node]["inputs"]
            graph[inputs["positive"][0]]["inputs"]["text"] = text
            graph[inputs["negative"][0]]["inputs"]["text"] = ""
        set_inputs(graph, "KSampler", seed=SEED + wish.seed, **SAMPLING)
        set_inputs(graph, "EmptyLatentImage", width=16 * CELL, height=16 * CELL)
        set_inputs(graph, "PerfusionApplyKeyLockedAttention", bias=wish.bias, visual_strength=wish.strength)
        if not wish.compared:
            for save in nodes_of(graph, "SaveImage")[1:]:
                del graph[save]
        return graph

    def file_bytes(self, star: Star) -> int:
        return (self.server.folder / "output/perfusion" / f"{star.name}.safetensors").stat().st_size


def picture_names(star: Star) -> list[str]:
    return [f"{star.name}_{number + 1}.png" for number in range(5)]


def write_pictures(star: Star, folder: Path) -> None:
    """The star's training pictures at eight pixels a cell. The host takes alpha for what is outside a mask."""
    for name, shot in zip(picture_names(star), training_pictures(star.individual), strict=True):
        pixels = np.concatenate([shot.pixels, 1 - shot.mask[..., None]], axis=-1)
        large = (255 * pixels).round().astype(np.uint8).repeat(CELL, 0).repeat(CELL, 1)
        Image.fromarray(large, "RGBA").save(folder / name)


def shrunk(pictures: np.ndarray) -> np.ndarray:
    """Pictures (N, 128, 128, 3) uint8 as the world's own (N, 16, 16, 3) in [0, 1], by the mean of each cell."""
    count, height, width, channels = pictures.shape
    cells = pictures.reshape(count, height // CELL, CELL, width // CELL, CELL, channels)
    return (cells.mean((2, 4)) / 255).astype(np.float32)
