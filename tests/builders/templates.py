"""The official workflow templates of Stable Diffusion, with the concept's nodes put in behind a checkpoint loader."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

from builders.ui_workflows import nodes_of, to_api

PACKAGE = "comfyui_workflow_templates_json"
OURS = re.compile(r"sd_xl|v1-5|sd15|v2-1", re.IGNORECASE)
"""Checkpoint names of the families that concepts are trained for."""
UNFIT = {"CLIPVisionLoader", "ImageOnlyCheckpointLoader"}
"""Loaders of models that no small random checkpoint stands in for."""


def templates() -> dict[str, dict]:
    """Name -> workflow as the browser saves it, of every installed template that draws with our families alone."""
    found = importlib.util.find_spec(PACKAGE)
    files = sorted(Path(found.origin).parent.glob("templates/*.json")) if found else []
    every = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}
    return {name: workflow for name, workflow in every.items() if isinstance(workflow, dict) and _ours(workflow)}


def _ours(workflow: dict) -> bool:
    nodes = workflow.get("nodes", ())
    checkpoints = [node["widgets_values"][0] for node in nodes if node["type"] == "CheckpointLoaderSimple"]
    fit = not UNFIT & {node["type"] for node in nodes}
    return bool(checkpoints) and fit and all(OURS.search(name) for name in checkpoints)


def small(workflow: dict, server, checkpoint: str, refiner: str) -> dict[str, dict]:
    """A template in API form on two small files: 64 pixels, three steps, of which a second sampler takes the last."""
    graph = to_api(workflow, server)
    for node in graph.values():
        inputs = node["inputs"]
        if "ckpt_name" in inputs:
            inputs["ckpt_name"] = refiner if "refiner" in inputs["ckpt_name"] else checkpoint
        inputs |= {name: 64 for name in ("width", "height") if name in inputs}
        if isinstance(inputs.get("steps"), int):
            inputs["steps"] = min(inputs["steps"], 3)
        for name in ("start_at_step", "end_at_step"):
            if 0 < inputs.get(name, 0) < 1000:
                inputs[name] = 2
    return graph


def spliced(graph: dict[str, dict], loader: str, file: str, strength: float = 1.0) -> dict[str, dict]:
    """The workflow with Load Perfusion Concept and Apply Key-Locked Attention behind the node ``loader``."""
    applied = {0: ["concept_apply", 0], 1: ["concept_apply", 1]}

    def relinked(value):
        return applied.get(value[1], value) if isinstance(value, list) and value[0] == loader else value

    changed = {
        name: {**node, "inputs": {key: relinked(value) for key, value in node["inputs"].items()}}
        for name, node in graph.items()
    }
    settings = {"visual_strength": strength, "bias": -0.5, "temperature": 0.15, "key_locking": "local"}
    inputs = {"model": [loader, 0], "clip": [loader, 1], "concept": ["concept_load", 0], "leak_free": False, **settings}
    inputs |= {"start_percent": 0.0, "end_percent": 1.0}
    changed["concept_load"] = {"class_type": "PerfusionLoadConcept", "inputs": {"concept": file}}
    changed["concept_apply"] = {"class_type": "PerfusionApplyKeyLockedAttention", "inputs": inputs}
    return changed


def first_loader(graph: dict[str, dict]) -> str:
    """The checkpoint loader of the sampler that starts from noise; a refiner's comes second."""
    for name in nodes_of(graph, "KSamplerAdvanced"):
        if graph[name]["inputs"]["add_noise"] == "enable":
            return graph[name]["inputs"]["model"][0]
    return nodes_of(graph, "CheckpointLoaderSimple")[0]
