"""The pictures of the nodes in a browser, for README and the help pages: what a user sees, in the pixel world.

    python dev.py bench browser_pictures [--out web/docs/pictures] [--steps 60]

Needs ComfyUI and Chromium. Two concepts are trained first; some minutes. It also draws the picture of the example
workflow that evaluates a concept, whose place is beside that workflow.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from PIL import Image

from builders.browser import CHROMIUM, FLAGS, new_page, open_workflow
from builders.server import Server
from builders.ui_workflows import EVALUATE, TRAIN, USE, nodes_of, set_inputs, shipped
from demonstration.host_studio import CELL, SAMPLING, HostStudio, Plan, picture_names
from demonstration.studio import STARS
from host_demo import CHECKPOINT, prepared
from pixelworld.concepts import TEMPLATES
from pixelworld.once import corpus
from report import ROOT

APPLY, LOAD = "PerfusionApplyKeyLockedAttention", "PerfusionLoadConcept"
JPEG = {"type": "jpeg", "quality": 82}
EVALUATED = ("a photo of a {} at the beach", "a {} in the snow wearing a hat", "a painting of a {} in space")
MARGIN = 14
PATIENCE_PER_STEP = 30_000
"""Milliseconds: a busy processor takes some seconds for a step, and a preview as long as many steps."""
FEWEST_STEPS = 40
SET = """
([kind, values]) => {
  for (const node of app.graph.nodes.filter(node => node.type === kind))
    for (const [name, value] of Object.entries(values)) {
      const widget = node.widgets.find(widget => widget.name === name)
      widget.value = value
      widget.callback?.(value, app.canvas, node)
    }
}
"""
PICTURES = """
names => app.graph.nodes.filter(node => node.type === 'LoadImage').forEach((node, index) => {
  node.widgets[0].value = names[index]
})
"""
STATISTICS = """
captions => {
  const node = LiteGraph.createNode('PerfusionTextStatistics')
  const [train, loader] = ['PerfusionTrainConcept', 'CheckpointLoaderSimple'].map(kind =>
    app.graph.nodes.find(node => node.type === kind))
  app.graph.add(node)
  node.pos = [-900, 1200]
  node.widgets.find(widget => widget.name === 'own_captions').value = captions
  loader.connect(1, node, 0)
  node.connect(0, train, train.inputs.findIndex(input => input.name === 'statistics'))
}
"""
SHOWN = """
() => {
  const points = document.querySelector('.perfusion-training .perfusion-line')?.getAttribute('d').split('L').length
  const train = app.graph.nodes.find(node => node.type === 'PerfusionTrainConcept')
  return points >= 4 && train.imgs?.length > 0
}
"""
"""The first step is a point, and so is the mean of every ten."""
SEEN = "() => [...document.querySelectorAll('.perfusion-all > .perfusion-grid img')].every(one => one.naturalWidth)"
"""The pictures of the saved concepts; those behind the line of the kept ones wait until it is opened."""
LOOK_AT = """
kinds => {
  const nodes = app.graph.nodes.filter(node => kinds.includes(node.type))
  const least = side => Math.min(...nodes.map(node => node.pos[side]))
  app.canvas.ds.scale = 1
  app.canvas.ds.offset = [150 - least(0), 160 - least(1)]
  app.canvas.setDirty(true, true)
  const most = side => Math.max(...nodes.map(node => node.pos[side] + node.size[side]))
  return { x: 150, y: 130, width: most(0) - least(0), height: most(1) - least(1) + 30 }
}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "web" / "docs" / "pictures", help="the folder to write to")
    parser.add_argument("--steps", type=int, default=60, help=f"steps of each training, at least {FEWEST_STEPS}")
    options = parser.parse_args()
    if options.steps < FEWEST_STEPS:
        parser.error(f"--steps is {options.steps}; a curve of four points takes at least {FEWEST_STEPS}.")
    if CHROMIUM is None or "COMFYUI_PATH" not in os.environ:
        sys.exit("This needs Chromium and a ComfyUI, named by COMFYUI_PATH.")
    from playwright.sync_api import sync_playwright

    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        prepared(Path(folder))
        with Server(Path(os.environ["COMFYUI_PATH"]), Path(folder), helpers=False) as server, sync_playwright() as play:
            studio = HostStudio(server, CHECKPOINT, replace(Plan(), steps=options.steps, batch_size=2, captions=60))
            for star in STARS:
                studio.train(star)
            show_evaluation(studio, options.out)
            page = new_page(play.chromium.launch(executable_path=CHROMIUM, args=FLAGS), server, vue=False)
            show_using(page, options.out)
            show_training(page, options.out, options.steps)
    return 0


def show_evaluation(studio: HostStudio, out: Path) -> None:
    """The sheet of the shipped workflow that evaluates a concept."""
    star = STARS[0]
    graph = studio.workflow(EVALUATE)
    for loader, name in zip(nodes_of(graph, "LoadImage"), picture_names(star), strict=False):
        graph[loader]["inputs"]["image"] = name
    set_inputs(graph, "PerfusionLoadConcept", concept=f"{star.name}.safetensors")
    set_inputs(graph, "EmptyLatentImage", width=16 * CELL, height=16 * CELL)
    set_inputs(graph, "PerfusionEvaluate", prompts="\n".join(EVALUATED), **SAMPLING)
    (sheet,) = nodes_of(graph, "SaveImage")
    (pixels,) = studio.server.pictures(studio.server.run(graph), sheet)
    Image.fromarray(pixels).save(out / f"{EVALUATE}.jpg", quality=JPEG["quality"])


def show_using(page, out: Path) -> None:
    """The Load and Apply nodes, and the picker."""
    star = STARS[0]
    open_workflow(page, shipped(USE))
    page.evaluate(SET, [LOAD, {"concept": f"{star.name}.safetensors"}])
    page.evaluate(SET, ["CLIPTextEncode", {"text": f"a photo of a {star.word} on a beach"}])
    area = page.evaluate(LOOK_AT, [LOAD, APPLY])
    page.wait_for_function("() => document.querySelector('.perfusion-card img')?.naturalWidth")
    page.evaluate("() => window.comfyAPI.api.api.dispatchEvent(new CustomEvent('graphChanged'))")
    page.wait_for_function("() => document.querySelector('.perfusion-gate').innerText.includes('is named')")
    save(page, out / "apply.jpg", area)
    page.click(".perfusion-card")
    page.wait_for_function(SEEN)
    page.locator("dialog").evaluate("dialog => { dialog.style.height = '400px'; dialog.style.width = '700px' }")
    page.locator("dialog").screenshot(path=out / "picker.jpg", **JPEG)
    page.keyboard.press("Escape")


def show_training(page, out: Path, steps: int) -> None:
    """The Train node from its last widget on, while it trains."""
    open_workflow(page, shipped(TRAIN))
    star = STARS[0]
    page.evaluate(PICTURES, picture_names(star))
    names = {"word": "my_cat", "superclass": star.individual.class_word, "steps": steps, "batch_size": 2}
    settings = {"micro_batch": 2, "preview_every": steps // 4, "templates": "\n".join(TEMPLATES[:2])}
    page.evaluate(SET, ["PerfusionTrainConcept", {**names, **settings}])
    page.evaluate(STATISTICS, "\n".join(corpus(60)))
    page.click('[data-testid="queue-button"]')
    page.wait_for_function(SHOWN, timeout=PATIENCE_PER_STEP * steps)
    area = page.evaluate(LOOK_AT, ["PerfusionTrainConcept"])
    page.set_viewport_size({"width": 1600, "height": round(area["height"]) + 300})
    page.wait_for_timeout(2000)
    area = page.evaluate(LOOK_AT, ["PerfusionTrainConcept"])
    top = page.locator(".perfusion-training").bounding_box()["y"] - 70
    save(page, out / "training.jpg", {**area, "y": top, "height": area["y"] + area["height"] - top})


def save(page, path: Path, area: dict[str, float]) -> None:
    page.wait_for_timeout(1500)
    clip = {"x": area["x"] - MARGIN, "y": area["y"] - MARGIN}
    clip |= {"width": area["width"] + 2 * MARGIN, "height": area["height"] + 2 * MARGIN}
    page.screenshot(path=path, clip=clip, **JPEG)


if __name__ == "__main__":
    sys.exit(main())
