"""Workflows in API form, wired as a user would, and concepts to run them with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from PIL import Image

from perfusion_ops import Concept

LAYERS = {
    family: [
        *(f"input_blocks.{block}.1.transformer_blocks.{i}.attn2" for block, depth in blocks for i in range(depth)),
        *(f"middle_block.1.transformer_blocks.{i}.attn2" for i in range(middle)),
        *(f"output_blocks.{block}.1.transformer_blocks.{i}.attn2" for block, depth in outputs for i in range(depth)),
    ]
    for family, blocks, middle, outputs in (
        ("sd1", [(1, 1), (3, 1)], 1, [(0, 1), (1, 1), (2, 1), (3, 1)]),
        ("sd1_full", [(n, 1) for n in (1, 2, 4, 5, 7, 8)], 1, [(n, 1) for n in range(3, 12)]),
        ("sd2", [(1, 1), (3, 1)], 1, [(0, 1), (1, 1), (2, 1), (3, 1)]),
        (
            "sdxl",
            [(4, 2), (5, 2), (7, 10), (8, 10)],
            10,
            [(0, 10), (1, 10), (2, 10), (3, 2), (4, 2), (5, 2)],
        ),
    )
}
WIDTHS = {"sd1": {"l": 768}, "sd2": {"h": 1024}, "sdxl": {"l": 768, "g": 1280}}
VALUE_WIDTHS = {"sd1": 320, "sd1_full": 64, "sd2": 320, "sdxl": 64}
"""Small checkpoint -> width of the values in every layer."""


def random_concept(word: str, superclass: str, seed: int, checkpoint: str = "sd1") -> Concept:
    """A concept for the random checkpoints: nothing trained, every part at work."""
    generator, family = torch.Generator().manual_seed(seed), checkpoint.partition("_")[0]
    width = sum(WIDTHS[family].values())

    def draw(size: int) -> torch.Tensor:
        return torch.randn(size, generator=generator)

    target_input = draw(width)
    return Concept(
        word=word,
        superclass=superclass,
        base_family=family,
        target_input=target_input,
        target_dual=target_input / width + 0.1 * draw(width) / width,
        superclass_encoding=draw(width),
        word_embeddings={name: draw(size) for name, size in WIDTHS[family].items()},
        value_residuals={layer: draw(VALUE_WIDTHS[checkpoint]) for layer in LAYERS[checkpoint]},
        metadata={"title": word},
    )


THINGS = ("box", "house", "cat", "boat on a lake", "cup of tea", "tree", "dog at home", "photo of a car")
"""Too few captions to learn from, enough for statistics of full rank with damping."""


class Workflow(dict):
    """``graph = Workflow(); loader = graph.add("CheckpointLoaderSimple", ckpt_name="sd1.safetensors")``."""

    def add(self, kind: str, /, **inputs: Any) -> Node:
        name = str(len(self) + 1)
        self[name] = {
            "class_type": kind,
            "inputs": {key: value.link() if isinstance(value, Output) else value for key, value in inputs.items()},
        }
        return Node(name)


class Node:
    def __init__(self, name: str) -> None:
        self.name = name

    def __getitem__(self, index: int) -> Output:
        return Output(self.name, index)


class Output:
    def __init__(self, node: str, index: int) -> None:
        self.node, self.index = node, index

    def link(self) -> list:
        return [self.node, self.index]


def load(graph: Workflow, family: str = "sd1") -> tuple[Output, Output, Output]:
    """MODEL, CLIP and VAE of a checkpoint."""
    loader = graph.add("CheckpointLoaderSimple", ckpt_name=f"{family}.safetensors")
    return loader[0], loader[1], loader[2]


def apply(graph: Workflow, model: Output, clip: Output, file: str, **settings: Any) -> tuple[Output, Output]:
    """Load Perfusion Concept and Apply Key-Locked Attention."""
    concept = graph.add("PerfusionLoadConcept", concept=file)
    # A negative bias opens the gate of untrained concepts too.
    inputs = {
        "visual_strength": 1.0,
        "bias": -0.5,
        "temperature": 0.15,
        "key_locking": "local",
        "leak_free": False,
        "start_percent": 0.0,
        "end_percent": 1.0,
        **settings,
    }
    node = graph.add("PerfusionApplyKeyLockedAttention", model=model, clip=clip, concept=concept[0], **inputs)
    return node[0], node[1]


def encode(graph: Workflow, clip: Output, text: str) -> Output:
    return graph.add("CLIPTextEncode", clip=clip, text=text)[0]


def sample(graph: Workflow, model: Output, positive: Output, negative: Output, **settings: Any) -> Output:
    """A latent from a KSampler."""
    size = settings.pop("size", 64)
    batch = settings.pop("batch_size", 1)
    latent = settings.pop("latent_image", None)
    if latent is None:
        latent = graph.add("EmptyLatentImage", width=size, height=size, batch_size=batch)[0]
    inputs = {
        "seed": 5,
        "steps": 2,
        "cfg": 4.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 1.0,
        **settings,
    }
    node = graph.add("KSampler", model=model, positive=positive, negative=negative, latent_image=latent, **inputs)
    return node[0]


def show(graph: Workflow, latent: Output, vae: Output) -> str:
    """Decode and preview; the preview node's id."""
    return graph.add("PreviewImage", images=graph.add("VAEDecode", samples=latent, vae=vae)[0]).name


def picture(
    prompt: str,
    concepts: list[tuple[str, dict]] = (),
    negative: str = "",
    family: str = "sd1",
    **settings: Any,
) -> tuple[Workflow, str]:
    """One picture of ``prompt`` with the files ``concepts`` applied in that order; workflow and preview node."""
    graph = Workflow()
    model, clip, vae = load(graph, family)
    for file, applied in concepts:
        model, clip = apply(graph, model, clip, file, **applied)
    latent = sample(graph, model, encode(graph, clip, prompt), encode(graph, clip, negative), **settings)
    return graph, show(graph, latent, vae)


def mean_difference(a, b) -> float:
    """Mean absolute difference of two uint8 pictures, in grey levels."""
    return math.fsum(abs(a.astype(int) - b.astype(int)).ravel()) / a.size


def training_pictures(folder, count: int = 3) -> list[str]:
    """Write small pictures of different sizes into a server's input folder; their names."""
    names = []
    for number, (width, height) in enumerate([(64, 64), (80, 64), (64, 96)][:count]):
        y, x = np.mgrid[0:height, 0:width]
        pixels = np.stack([x * 2, y * 2, np.full_like(x, 80 * number)], -1).clip(0, 255).astype(np.uint8)
        pixels[height // 4 : height // 2, width // 4 : width // 2] = (220, 30, 30)
        names.append(f"shot{number}.png")
        Image.fromarray(pixels).save(folder / "input" / names[-1])
    return names


def train(graph: Workflow, images: Output, loaded: tuple[Output, Output, Output], **settings: Any) -> Node:
    """Text statistics on few captions and Train Perfusion Concept."""
    model, clip, vae = loaded
    statistics = settings.pop("statistics", None)
    if statistics is None:
        captions = "\n".join(f"a {colour} {thing}" for colour in ("red", "blue") for thing in THINGS)
        statistics = graph.add("PerfusionTextStatistics", clip=clip, captions=100, own_captions=captions)[0]
    inputs = {
        "word": "redbox",
        "superclass": "box",
        "steps": 4,
        "batch_size": 2,
        "micro_batch": 2,
        "resolution": 512,
        "value_learning_rate": 0.03,
        "word_learning_rate": 0.006,
        "bias": 0.75,
        "temperature": 0.1,
        "key_locking": "local",
        "flip": True,
        "templates": "a photo of a {}",
        "captions": "",
        "seed": 0,
        "dtype": "auto",
        "gradient_checkpointing": False,
        "preview_every": 0,
        "preview_prompt": "a photo of a {}",
        **settings,
    }
    return graph.add(
        "PerfusionTrainConcept", model=model, clip=clip, vae=vae, images=images, statistics=statistics, **inputs
    )


def image_list(graph: Workflow, first: str, second: str) -> Output:
    """Two pictures of different sizes as a list."""
    pictures = [graph.add("LoadImage", image=name)[0] for name in (first, second)]
    return graph.add("HelperImageList", first=pictures[0], second=pictures[1])[0]
