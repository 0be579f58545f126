"""The concept's nodes spliced into any workflow in API form, behind whatever loads its models and its CLIP."""

from __future__ import annotations

import copy

from builders.family_files import SUPERCLASS, WORD, kind_of
from builders.family_templates import CLIP_LOADERS, NETWORKS, is_link
from builders.ui_workflows import nodes_of

ENCODERS = {
    "CLIPTextEncode": ("text",),
    "CLIPTextEncodeFlux": ("clip_l", "t5xxl"),
    "TextEncodeQwenImageEdit": ("prompt",),
    "TextEncodeQwenImageEditPlus": ("prompt",),
}
"""Node that encodes a prompt -> its inputs that hold it."""
PROMPT = "a photo of a {}, "
"""Written before the workflow's own prompt."""


def with_prompt(graph: dict[str, dict], subject: str) -> dict[str, dict]:
    """The workflow with a sentence of ``subject`` before its own positive prompt, whatever nodes write that."""
    graph = copy.deepcopy(graph)
    for name in positive_encoders(graph):
        for key in ENCODERS[graph[name]["class_type"]]:
            own = {"string_a": PROMPT.format(subject), "string_b": graph[name]["inputs"][key], "delimiter": ""}
            graph[f"{name}:{key}"] = {"class_type": "StringConcatenate", "inputs": own}
            graph[name]["inputs"][key] = [f"{name}:{key}", 0]
    return graph


def positive_encoders(graph: dict[str, dict]) -> set[str]:
    """The nodes that encode what a sampler or guider takes for its positive prompt."""
    found: set[str] = set()
    open_ = [node["inputs"]["positive"] for node in graph.values() if "positive" in node["inputs"]]
    open_ += [node["inputs"]["conditioning"] for name in nodes_of(graph, "BasicGuider") for node in [graph[name]]]
    while open_:
        name, slot = open_.pop()
        node = graph[name]
        if node["class_type"] in ENCODERS:
            found.add(name)
        elif "positive" not in node["inputs"]:
            open_ += [value for key, value in node["inputs"].items() if is_link(value) and "cond" in key]
        elif slot == 0:
            open_.append(node["inputs"]["positive"])
    return found


def model_loaders(graph: dict[str, dict]) -> list[str]:
    """The nodes that load a model that draws, not one that only prepares a picture."""
    loaders = [(name, graph[name]["inputs"][file]) for kind, file in NETWORKS.items() for name in nodes_of(graph, kind)]
    return [name for name, file in loaders if not kind_of("beside", file)]


def clip_sources(graph: dict[str, dict]) -> list[list]:
    """[node, output] of the CLIP, loaded once or again and again. Raises ValueError for none, or unlike ones."""
    found = [[name, 0] for kind in CLIP_LOADERS for name in nodes_of(graph, kind)]
    found = found or [[name, 1] for name in nodes_of(graph, "CheckpointLoaderSimple")]
    if len({str(graph[name]["inputs"]) for name, _ in found}) != 1:
        raise ValueError(f"expected one CLIP, found {len(found)}")
    return found


def vae_source(graph: dict[str, dict]) -> list:
    """[node, output] of the first VAE that a model that draws has."""
    loaders = [name for name in nodes_of(graph, "VAELoader")]
    found = [[name, 0] for name in loaders if kind_of("vae", graph[name]["inputs"]["vae_name"]) != "sd"]
    return found[0] if found else [nodes_of(graph, "CheckpointLoaderSimple")[0], 2]


def spliced(graph: dict[str, dict], concept: list, *strengths: float) -> dict[str, dict]:
    """The workflow with Apply Key-Locked Attention behind every model that is loaded, one CLIP through all of them.

    ``concept`` is the [node, output] that gives the concept; the node is the caller's to add. ``strengths`` are one for
    each model, or one for all.
    """
    sources, applied, added = clip_sources(graph), {}, {}
    clip, loaders = sources[0], model_loaders(graph)
    for number, loader in enumerate(loaders):
        name, strength = f"applied:{number}", (strengths * len(loaders))[number]
        settings = {"visual_strength": strength, "bias": -0.5, "temperature": 0.15, "key_locking": "local"}
        settings |= {"leak_free": False, "start_percent": 0.0, "end_percent": 1.0}
        inputs = {"model": [loader, 0], "clip": clip, "concept": concept, **settings}
        added[name] = {"class_type": "PerfusionApplyKeyLockedAttention", "inputs": inputs}
        applied[loader, 0], clip = [name, 0], [name, 1]
    applied |= {tuple(source): clip for source in sources}
    return {**relinked(graph, applied), **added}


def relinked(graph: dict[str, dict], links: dict[tuple, list]) -> dict[str, dict]:
    """The workflow with other links in place of these: (node, output) -> [node, output]."""

    def value_of(value):
        return links.get(tuple(value), value) if is_link(value) else value

    return {
        name: {**node, "inputs": {key: value_of(value) for key, value in node["inputs"].items()}}
        for name, node in graph.items()
    }


def drawing(graph: dict[str, dict], file: str, subject: str = WORD, *strengths: float) -> dict[str, dict]:
    """The workflow with Load and Apply spliced in, and a prompt of ``subject``."""
    loaded = {"concept": {"class_type": "PerfusionLoadConcept", "inputs": {"concept": file}}}
    return {**spliced(with_prompt(graph, subject), ["concept", 0], *(strengths or (1.0,))), **loaded}


def training(graph: dict[str, dict], picture: str, subject: str = WORD, statistics: bool = False) -> dict[str, dict]:
    """The workflow with Train in place of Load: it learns from a picture of the input folder, then draws.

    Its strength is the highest there is: two steps change little. Text statistics, for families that need them, are of
    few captions: enough to train with, and not minutes of waiting.
    """
    inputs = {
        "model": [model_loaders(graph)[0], 0],
        "clip": clip_sources(graph)[0],
        "vae": vae_source(graph),
        "images": ["picture", 0],
        **{"word": WORD, "superclass": SUPERCLASS, "steps": 2, "batch_size": 1, "micro_batch": 1, "resolution": 64},
        **{"value_learning_rate": 1.0, "word_learning_rate": 0.006, "bias": 0.75, "temperature": 0.1},
        **{"key_locking": "local", "flip": False, "templates": "a photo of a {}", "captions": "", "seed": 0},
        **{"dtype": "auto", "gradient_checkpointing": True, "preview_every": 2, "preview_prompt": "a photo of a {}"},
        **({"statistics": ["statistics", 0]} if statistics else {}),
    }
    measured = {"clip": inputs["clip"], "model": inputs["model"], "captions": 100, "own_captions": ""}
    added = {
        **({"statistics": {"class_type": "PerfusionTextStatistics", "inputs": measured}} if statistics else {}),
        "picture": {"class_type": "LoadImage", "inputs": {"image": picture}},
        "trained": {"class_type": "PerfusionTrainConcept", "inputs": inputs},
    }
    return {**spliced(with_prompt(graph, subject), ["trained", 0], 3.0), **added}
