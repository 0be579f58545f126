"""Shipped workflows, as the browser saves them, turned into what the server's API takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "example_workflows"
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
NOTES = ("Note", "MarkdownNote")


def shipped(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text())


def to_api(workflow: dict, server) -> dict[str, dict]:
    """The workflow in API form, by the node definitions of a running server."""
    sources = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    return {
        str(node["id"]): {"class_type": node["type"], "inputs": _inputs(node, sources, server)}
        for node in workflow["nodes"]
        if node["type"] not in NOTES
    }


def _inputs(node: dict, sources: dict[int, list], server) -> dict[str, Any]:
    inputs = {entry["name"]: sources[entry["link"]] for entry in node["inputs"] if entry["link"] is not None}
    values = list(node["widgets_values"])
    for name, specification in widget_inputs(definition(server, node["type"])):
        inputs.setdefault(name, values.pop(0))
        extra = specification[1] if len(specification) > 1 else {}
        # The browser keeps what follows a seed, and how a picture was chosen, as widgets of their own.
        if extra.get("control_after_generate") or extra.get("image_upload"):
            values.pop(0)
    if values:
        raise ValueError(f"{node['type']} has {len(values)} widget values more than inputs: {values}")
    return inputs


def definition(server, kind: str) -> dict:
    return server.get(f"/object_info/{kind}")[kind]


def widget_inputs(definition: dict) -> list[tuple[str, list]]:
    """Inputs with a widget, in the order their values are saved."""
    groups = definition["input"]
    every = [item for group in ("required", "optional") for item in groups.get(group, {}).items()]
    return [(name, spec) for name, spec in every if isinstance(spec[0], list) or spec[0] in WIDGETS]


def nodes_of(workflow: dict[str, dict], kind: str) -> list[str]:
    return [name for name, node in workflow.items() if node["class_type"] == kind]
