"""A real Chromium on the real frontend: finding it, opening workflows in it, and reading what it holds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from builders.places import ROOT
from pixelworld.expand import write_checkpoint
from pixelworld.scene import sample_individual, training_pictures

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
PATIENCE = 240_000
"""Milliseconds to wait for what the page or the queue does: a busy machine needs minutes."""
CELL = 8
"""Picture pixels per cell of the pixel world."""

READY = "() => !!(window.app?.graph && window.LiteGraph?.registered_node_types['PerfusionTrainConcept'])"
OPEN = "async workflow => { await app.loadGraphData(JSON.parse(workflow)) }"
SAVE = "() => JSON.stringify(app.graph.serialize())"
COMPLAINT = "() => /errors? found|missing/i.test(document.body.innerText)"
SETTLED = """
() => new Promise(resolve => {
  const seen = () => JSON.stringify(app.graph.nodes.map(node => [...node.pos, ...node.size]))
  const look = before => setTimeout(() => (seen() === before ? resolve(true) : look(seen())), 250)
  look(seen())
})
"""
"""Nodes take their sizes in the frames after a workflow was opened."""
OVERLAPS = """
() => app.graph.nodes.flatMap((one, index) => app.graph.nodes.slice(index + 1).filter(other => {
  const [a, b] = [one, other].map(node => [node.pos[0], node.pos[1] - LiteGraph.NODE_TITLE_HEIGHT])
  const ends = [one, other].map(node => [node.pos[0] + node.size[0], node.pos[1] + node.size[1]])
  return a[0] < ends[1][0] && b[0] < ends[0][0] && a[1] < ends[1][1] && b[1] < ends[0][1]
}).map(other => [one, other].map(node => node.type)))
"""
"""Pairs of nodes of which one hides a part of the other."""
PLACE = """
([kind, name, x]) => {
  const node = app.graph.nodes.find(node => node.type === kind)
  const row = node.widgets.find(widget => widget.name === name)
  return app.canvasPosToClientPos([node.pos[0] + x * node.size[0], node.pos[1] + (row.last_y ?? row.y) + 10])
}
"""


def new_page(browser, server, vue: bool, **settings: Any):
    """A page with one of the two renderers; ``page.complaints`` holds what concerns the pack or broke a script."""
    settings = {"Comfy.TutorialCompleted": True, "Comfy.VueNodes.Enabled": vue, **settings}
    server.post("/settings", settings)
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.set_default_timeout(PATIENCE)
    page.vue, page.complaints = vue, []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("console", lambda message: _note(page.complaints, message))
    page.goto(f"http://{server.address}/", wait_until="domcontentloaded")
    page.wait_for_function(READY)
    return page


def _note(complaints: list[str], message) -> None:
    if message.type in ("error", "warning") and "erfusion" in message.text:
        complaints.append(message.text)


def frontend_version(page) -> tuple[int, ...]:
    return tuple(map(int, page.evaluate("() => window.__COMFYUI_FRONTEND_VERSION__").split(".")[:3]))


def open_workflow(page, workflow: dict) -> None:
    page.evaluate(OPEN, json.dumps(workflow))
    page.wait_for_function("count => app.graph.nodes.length === count", arg=len(workflow["nodes"]))
    page.evaluate(SETTLED)


def saved(page) -> dict:
    """The open workflow as the browser would save it."""
    return json.loads(page.evaluate(SAVE))


def kept(workflow: dict) -> dict:
    """What must survive saving and loading: everything but how nodes are drawn, and what Preview as Text shows."""
    drawn = {"pos", "size", "order", "flags", "showAdvanced"}
    shown = {"PreviewAny": {"widgets_values"}}
    nodes = [
        {key: value for key, value in node.items() if key not in drawn | shown.get(node["type"], set())}
        for node in workflow["nodes"]
    ]
    return {"nodes": sorted(nodes, key=lambda node: node["id"]), "links": sorted(workflow["links"])}


def values(page, kind: str) -> list[list]:
    """The saved values of all nodes of ``kind``, in any order that stays the same."""
    return sorted(node["widgets_values"] for node in saved(page)["nodes"] if node["type"] == kind)


def pixel_world(folder: Path) -> list[str]:
    """Put the pixel world's checkpoint and one subject's pictures into a host's folder; the pictures' names."""
    checkpoint = folder / "models/checkpoints/pixelworld.safetensors"
    checkpoint.symlink_to(write_checkpoint(ROOT / "build" / "checkpoints"))
    names = []
    for number, shot in enumerate(training_pictures(sample_individual(1, "cat"))):
        names.append(f"cat{number}.png")
        large = (255 * shot.pixels).round().astype(np.uint8).repeat(CELL, 0).repeat(CELL, 1)
        Image.fromarray(large).save(folder / "input" / names[-1])
    return names
