"""A workflow as the browser saves it, laid out node by node; and the file of an example."""

from __future__ import annotations

import json
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builders.ui_workflows import FOLDER, widget_inputs

GROWING = "COMFY_AUTOGROW_V3"
"""An input that the browser replaces by as many as are connected."""


class Canvas:
    """A workflow as the browser saves it."""

    def __init__(self, definitions: dict[str, Any]) -> None:
        self.definitions, self.nodes, self.links = definitions, [], []

    def add(self, kind: str, place: tuple[int, int], size=(320, 130), links=None, muted=False, **values: Any) -> Node:
        known = self.definitions[kind]
        widgets = dict(widget_inputs(known))
        links = links or {}
        every = {**known["input"].get("required", {}), **known["input"].get("optional", {})}
        number = len(self.nodes) + 1
        wired = [name for name in every if name not in widgets and _type(every, name) != GROWING]
        inputs = [{"name": name, "type": _type(every, name), "link": None} for name in wired]
        inputs += [{"name": name, "type": "IMAGE", "link": None} for name in links if name not in every]
        outputs = [
            {"name": name, "type": kind_of, "links": []}
            for name, kind_of in zip(known["output_name"], known["output"], strict=True)
        ]
        node = {
            "id": number,
            "type": kind,
            "pos": list(place),
            "size": list(size),
            "flags": {},
            "order": number - 1,
            "mode": 2 if muted else 0,
            "inputs": inputs,
            "outputs": outputs,
            "properties": {"Node name for S&R": kind},
            "widgets_values": _values(widgets, values),
        }
        self.nodes.append(node)
        for name, source in links.items():
            self._link(source, node, name)
        return Node(node)

    def _link(self, source: tuple[Node, int], node: dict, name: str) -> None:
        (origin, slot), number = source, len(self.links) + 1
        place = next(n for n, entry in enumerate(node["inputs"]) if entry["name"] == name)
        kind = origin.data["outputs"][slot]["type"]
        node["inputs"][place]["link"] = number
        origin.data["outputs"][slot]["links"].append(number)
        self.links.append([number, origin.data["id"], slot, node["id"], place, kind])

    def note(self, text: str, place: tuple[int, int]) -> None:
        number = len(self.nodes) + 1
        note = {"id": number, "type": "MarkdownNote", "pos": list(place), "size": [380, 420], "flags": {}, "mode": 0}
        note |= {"order": number - 1, "inputs": [], "outputs": [], "properties": {}, "widgets_values": [text]}
        self.nodes.append(note)

    def leave_open(self, *kinds: str) -> None:
        """Choose no file in the loaders of these kinds, so that the workflow opens on every machine."""
        for node in self.nodes:
            if node["type"] in kinds:
                node["widgets_values"] = []

    def saved(self, title: str) -> dict[str, Any]:
        last = {"last_node_id": len(self.nodes), "last_link_id": len(self.links)}
        parts = {"nodes": self.nodes, "links": self.links, "groups": [], "config": {}, "extra": {}, "version": 0.4}
        return {"id": str(uuid.uuid5(uuid.NAMESPACE_URL, title)), "revision": 0, **last, **parts}


@dataclass
class Node:
    data: dict[str, Any]

    def __getitem__(self, slot: int) -> tuple[Node, int]:
        return self, slot


def _type(every: dict, name: str) -> str:
    return every[name][0] if isinstance(every[name][0], str) else "COMBO"


def _values(widgets: dict[str, list], values: dict[str, Any]) -> list[Any]:
    """Values in the order the browser saves them, up to the last that is given."""
    unknown = set(values) - set(widgets)
    if unknown:
        raise KeyError(f"no such widgets: {', '.join(sorted(unknown))}")
    saved: list[Any] = []
    for name, specification in widgets.items():
        extra = specification[1] if len(specification) > 1 else {}
        options = specification[0] if isinstance(specification[0], list) else extra.get("options")
        saved.append(values.get(name, extra.get("default", (options or [None])[0])))
        if extra.get("control_after_generate"):
            saved.append("fixed")
    return saved


def definitions_at(address: str) -> dict[str, Any]:
    """All nodes of the server at ``address``."""
    with urllib.request.urlopen(f"http://{address}/object_info", timeout=60) as answer:
        return json.load(answer)


def write(title: str, saved: dict[str, Any]) -> Path:
    """Write an example workflow; its file."""
    path = FOLDER / f"{title}.json"
    path.write_text(json.dumps(saved, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
