"""Shipped workflows, as the browser saves them, turned into what the server's API takes."""

from __future__ import annotations

import json
from typing import Any

from builders.places import ROOT

FOLDER = ROOT / "example_workflows"
TRAIN, USE, TWO = "Train a Perfusion concept", "Use a Perfusion concept", "Two concepts in one picture"
SWEEP, REGIONS = "Sweep a Perfusion concept", "Two concepts in two regions"
EVALUATE = "Evaluate a Perfusion concept"
DYNAMIC = "COMFY_DYNAMICCOMBO_V3"
"""A choice that brings inputs of its own, named behind it: ``resize_type.width``."""
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COLOR", DYNAMIC)
NOTES = ("Note", "MarkdownNote")
BROWSERS = {"CustomCombo": ("index", *(f"option{number}" for number in range(1, 21))), "Painter": ()}
"""Node whose browser side keeps more values than its definition has inputs -> the names of those that it sends."""
PRIMITIVE = "PrimitiveNode"
"""A widget's value in a box of its own, which only the browser knows."""


def shipped(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def to_api(workflow: dict, server) -> dict[str, dict]:
    """The workflow in API form, by the node definitions of a running server.

    A loader's choice is left open in the files, so that they open on every machine: as in the browser, it becomes the
    first one there is.
    """
    values = {node["id"]: node["widgets_values"][0] for node in workflow["nodes"] if node["type"] == PRIMITIVE}
    sources = {link[0]: values.get(link[1], _source(*link[1:3])) for link in workflow["links"]}
    graph = {
        str(node["id"]): {"class_type": node["type"], "inputs": _inputs(node, sources, server)}
        for node in workflow["nodes"]
        if node["type"] not in (*NOTES, PRIMITIVE)
    }
    for node in graph.values():
        widgets = {name: value for name, value in node["inputs"].items() if isinstance(value, tuple)}
        node["inputs"] |= {name: graph[other]["inputs"][widget] for name, (other, widget) in widgets.items()}
    return graph


def _source(origin: Any, output: int | str) -> list | tuple:
    """A link as the API has it; a widget that a subgraph shows, by the names of its node and input (``unfolded``)."""
    return (str(origin), output) if isinstance(output, str) else [str(origin), output]


def _inputs(node: dict, sources: dict[int, Any], server) -> dict[str, Any]:
    inputs = {entry["name"]: sources[entry["link"]] for entry in node["inputs"] if entry["link"] is not None}
    values = list(node.get("widgets_values") or ())
    waiting = widget_inputs(definition(server, node["type"]))
    while waiting:
        name, specification = waiting.pop(0)
        inputs.setdefault(name, values.pop(0) if values else unsaved(specification))
        waiting[:0] = _brought_by(name, specification, inputs[name])
        extra = specification[1] if len(specification) > 1 else {}
        # The browser keeps what follows a seed, and how a picture or a film was chosen, as widgets of their own.
        chosen = (extra.get("image_upload") or extra.get("video_upload")) and specification[0] != "STRING"
        if values and (extra.get("control_after_generate") or chosen):
            values.pop(0)
    if node["type"] in BROWSERS:
        return inputs | dict(zip(BROWSERS[node["type"]], values, strict=False))
    # A node that shows a value keeps it, or nothing, behind its inputs.
    if any(value is not None for value in values):
        raise ValueError(f"{node['type']} has {len(values)} widget values more than inputs: {values}")
    return inputs


def unsaved(specification: list) -> Any:
    """What the browser gives a widget that a saved workflow has no value for: its default, or the first choice."""
    if len(specification) > 1 and "default" in specification[1]:
        return specification[1]["default"]
    options = specification[0] if isinstance(specification[0], list) else specification[1]["options"]
    first = options[0] if options else None
    return first["key"] if isinstance(first, dict) else first


def _brought_by(name: str, specification: list, choice: Any) -> list[tuple[str, list]]:
    """The inputs with a widget that a choice of a dynamic combo brings."""
    options = specification[1]["options"] if specification[0] == DYNAMIC else ()
    brought = [option["inputs"] for option in options if option["key"] == choice]
    return [(f"{name}.{own}", spec) for inputs in brought for own, spec in widget_inputs({"input": inputs})]


def definition(server, kind: str) -> dict:
    return server.get(f"/object_info/{kind}")[kind]


def widget_inputs(definition: dict) -> list[tuple[str, list]]:
    """Inputs with a widget, in the order their values are saved."""
    groups = definition["input"]
    every = [item for group in ("required", "optional") for item in groups.get(group, {}).items()]
    return [(name, spec) for name, spec in every if isinstance(spec[0], list) or _has_widget(*spec)]


def _has_widget(kind: str, extra: dict | None = None) -> bool:
    return kind in WIDGETS and not (extra or {}).get("forceInput")


def nodes_of(workflow: dict[str, dict], kind: str) -> list[str]:
    return [name for name, node in workflow.items() if node["class_type"] == kind]


def set_inputs(workflow: dict[str, dict], kind: str, **values: Any) -> None:
    """Give all nodes of ``kind`` these values. Raises KeyError for an input they do not have."""
    for name in nodes_of(workflow, kind):
        for key, value in values.items():
            workflow[name]["inputs"][key]
            workflow[name]["inputs"][key] = value
