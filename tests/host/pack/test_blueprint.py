"""The blueprint: a node of the menu that holds two concepts."""

from __future__ import annotations

import json

from builders.browser import open_workflow, saved
from builders.places import ROOT
from builders.ui_workflows import definition, widget_inputs

NAME = "Two Perfusion concepts"


def blueprint() -> dict:
    return json.loads((ROOT / "subgraphs" / f"{NAME}.json").read_text(encoding="utf-8"))


def test_the_menu_offers_the_blueprint(server):
    """Who searches for two concepts finds one node, and it holds what it should."""
    listed = server.get("/global_subgraphs")
    ours = [key for key, entry in listed.items() if entry["name"] == NAME]
    assert len(ours) == 1
    assert json.loads(server.get(f"/global_subgraphs/{ours[0]}")["data"]) == blueprint()
    (inside,) = blueprint()["definitions"]["subgraphs"]
    kinds = [node["type"] for node in inside["nodes"]]
    assert sorted(kinds) == 2 * ["PerfusionApplyKeyLockedAttention"] + 2 * ["PerfusionLoadConcept"]
    held = [node for node in inside["nodes"] if node["type"] == "PerfusionLoadConcept"]
    chosen = [(node["widgets_values"], node["widgets_values_named"]) for node in held]
    assert chosen == 2 * [([], {})], "a file of the machine that wrote it"
    widgets = {str(node["id"]): dict(widget_inputs(definition(server, node["type"]))) for node in inside["nodes"]}
    (node,) = blueprint()["nodes"]
    assert all(name in widgets[inner] for inner, name in node["properties"]["proxyWidgets"])


def test_the_blueprint_opens_with_its_dials(page):
    """The node mounts in both renderers, with both concepts and their dials on it."""
    open_workflow(page, blueprint())
    names = page.evaluate("() => app.graph.nodes.flatMap(node => node.widgets.map(widget => widget.name))")
    assert len(names) >= 6 and {"concept", "bias", "visual_strength"} <= {name.split(":")[-1].strip() for name in names}
    (inside,) = saved(page)["definitions"]["subgraphs"]
    assert len(inside["nodes"]) == 4 and page.complaints == []
