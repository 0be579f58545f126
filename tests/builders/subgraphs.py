"""Workflows as the browser saves them, subgraphs unfolded and bypassed nodes taken out, as the browser does itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

REROUTE = "Reroute"
NEVER, BYPASSED = 2, 4
"""The modes of a node that does not run, and of one that hands its inputs on."""
INSIDE, OUTSIDE = -10, -20
"""What links inside a subgraph name as their origin and their target where they cross its border."""
NOTHING = (None, None)


def unfolded(workflow: dict[str, Any]) -> dict[str, Any]:
    """The workflow with the nodes of its subgraphs in their place; their ids are ``outer:inner``, as in the browser.

    A link from a widget, which a subgraph shows as its own, has that input's name for the output's number.
    """
    definitions = {part["id"]: part for part in workflow.get("definitions", {}).get("subgraphs", ())}
    nodes, links = [], []
    for scope, node in _Scope("", workflow, definitions).real_nodes():
        inputs = []
        for entry in node.get("inputs", ()):
            origin, slot = scope.source(entry["link"]) if entry.get("link") is not None else NOTHING
            number = None
            if origin is not None and not (entry.get("widget") and isinstance(slot, str)):
                number = len(links) + 1
                links.append([number, origin, slot, f"{scope.path}{node['id']}", len(inputs), entry["type"]])
            inputs.append({**entry, "link": number})
        nodes.append({**node, "id": f"{scope.path}{node['id']}", "inputs": inputs})
    return {"nodes": nodes, "links": links}


@dataclass
class _Scope:
    """The nodes and links of a workflow or of one use of a subgraph."""

    path: str
    parts: dict[str, Any]
    definitions: dict[str, Any]
    above: tuple[_Scope, dict] | None = None
    """The scope that a subgraph is used in, and the node that stands for it there."""

    def __post_init__(self) -> None:
        self.nodes = {node["id"]: node for node in self.parts["nodes"]}
        keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
        links = self.parts["links"]
        links = [link if isinstance(link, dict) else dict(zip(keys, link, strict=False)) for link in links]
        self.links = {link["id"]: link for link in links}

    def real_nodes(self):
        """(scope, node) of every node that runs."""
        for node in self.nodes.values():
            if node.get("mode", 0) in (NEVER, BYPASSED) or node["type"] == REROUTE:
                continue
            if node["type"] in self.definitions:
                yield from self.inside(node).real_nodes()
            else:
                yield self, node

    def inside(self, node: dict) -> _Scope:
        return _Scope(f"{self.path}{node['id']}:", self.definitions[node["type"]], self.definitions, (self, node))

    def source(self, number: int) -> tuple[str | None, Any]:
        """(id of the node that really gives a link its value, output or widget), or nothing where none runs."""
        link = self.links[number]
        origin, slot = link["origin_id"], link["origin_slot"]
        if origin == INSIDE:
            return self._from_above(slot)
        node = self.nodes[origin]
        mode = node.get("mode", 0)
        if mode == NEVER:
            return NOTHING
        if mode == BYPASSED or node["type"] == REROUTE:
            return self._through(node, slot)
        if node["type"] in self.definitions:
            below = self.inside(node)
            ends = {(link["target_id"], link["target_slot"]): number for number, link in below.links.items()}
            return below.source(ends[OUTSIDE, slot]) if (OUTSIDE, slot) in ends else NOTHING
        return f"{self.path}{origin}", slot

    def _from_above(self, slot: int) -> tuple[str | None, Any]:
        scope, node = self.above
        name = self.parts["inputs"][slot]["name"]
        entry = next((entry for entry in node.get("inputs", ()) if entry["name"] == name), {})
        return self._widget_at(slot) if entry.get("link") is None else scope.source(entry["link"])

    def _widget_at(self, slot: int) -> tuple[str | None, Any]:
        """(id of a node, name of its input) whose widget's value a subgraph's own input ``slot`` has."""
        for link in self.links.values():
            if (link["origin_id"], link["origin_slot"]) == (INSIDE, slot) and link["target_id"] in self.nodes:
                entry = self.nodes[link["target_id"]]["inputs"][link["target_slot"]]
                if entry.get("widget"):
                    return f"{self.path}{link['target_id']}", entry["name"]
        return NOTHING

    def _through(self, node: dict, slot: int) -> tuple[str | None, Any]:
        """What a bypassed node hands on: its first input of the output's kind, that of the same place before others."""
        inputs, kind = node.get("inputs", []), node["outputs"][slot]["type"]
        if node["type"] == REROUTE:
            chosen = inputs[:1]
        else:
            chosen = [entry for entry in inputs[slot : slot + 1] + inputs if entry["type"] == kind]
        linked = [entry["link"] for entry in chosen if entry.get("link") is not None]
        return self.source(linked[0]) if linked else NOTHING
