"""A user's way in a real browser, in both renderers: from the template browser to a training and to a picture."""

from __future__ import annotations

import re

import pytest

from builders.browser import PATIENCE, open_workflow, values
from builders.ui_workflows import TRAIN, USE, definition, shipped, widget_inputs
from pixelworld.once import corpus

LOAD = "PerfusionLoadConcept"
FEW = {"steps": 5, "batch_size": 1, "micro_batch": 1, "preview_every": 2, "templates": "a photo of a {}"}
PROMPT = "a photo of my_subject on a beach"
"""The shipped workflow's own."""
SIDE = 128
FILL_TRAINING = """
([pictures, settings, captions]) => {
  const of = kind => app.graph.nodes.filter(node => node.type === kind)
  const set = (node, name, value) => { node.widgets.find(widget => widget.name === name).value = value }
  of('LoadImage').forEach((node, index) => set(node, 'image', pictures[index]))
  const [train] = of('PerfusionTrainConcept')
  for (const [name, value] of Object.entries(settings)) set(train, name, value)
  set(of('PerfusionSaveConcept')[0], 'filename', settings.word)
  const statistics = LiteGraph.createNode('PerfusionTextStatistics')
  app.graph.add(statistics)
  set(statistics, 'own_captions', captions)
  of('CheckpointLoaderSimple')[0].connect(1, statistics, 0)
  statistics.connect(0, train, train.inputs.findIndex(input => input.name === 'statistics'))
}
"""
FILL_DRAWING = """
side => {
  for (const node of app.graph.nodes)
    for (const widget of node.widgets ?? []) {
      if (node.type === 'EmptyLatentImage' && ['width', 'height'].includes(widget.name)) widget.value = side
      if (node.type === 'KSampler' && widget.name === 'steps') widget.value = 2
    }
}
"""
SAVED = """
() => app.graph.nodes.find(node => node.type === 'PerfusionTrainConcept').widgets
  .filter(widget => widget.serialize !== false && !widget.name.startsWith('$$')).map(widget => widget.name)
"""
"""Whose values a workflow keeps, in their order; the frontend's own lines on a node, named $$, come after them."""
STATISTICS_LINE = """
() => app.graph.nodes.find(node => node.type === 'PerfusionTextStatistics').widgets
  .find(widget => widget.name === '$$node-text-preview')?.value ?? ''
"""
"""Newer frontends take it away."""
SHEET = """
sides => {
  const node = app.graph.nodes.find(node => node.type === 'PerfusionTrainConcept')
  const shown = [...document.querySelectorAll(`[data-node-id="${node.id}"] img`), ...(node.imgs ?? [])]
  return shown.some(({ naturalWidth, naturalHeight }) => naturalWidth === sides * naturalHeight && naturalHeight > 0)
}
"""
"""Whether the node shows square previews side by side."""
TEXT_BOX = "text => [...document.querySelectorAll('textarea')].find(area => area.value === text)"
WATCH = """
() => {
  const node = app.graph.nodes.find(node => node.type === 'PerfusionTrainConcept')
  window.perfusionPreviews = {}
  const look = () => {
    const left = document.querySelector('.perfusion-left')?.textContent
    const line = document.querySelector('.perfusion-training .perfusion-line')
    const preview = document.querySelector(`[data-node-id="${node.id}"] img[src^="blob:"]`) ?? node.imgs?.[0]
    const newest = app.nodePreviewImages[node.id]?.at(-1)
    if (/left$/.test(left) && line && preview?.naturalWidth && preview.src === newest)
      window.perfusionPreviews[preview.src] = preview.naturalWidth
    if (left !== 'trained') setTimeout(look, 50)
  }
  look()
}
"""
"""Notes each newest preview that stands on the node with the curve while time is left: the classic renderer draws it
from ``node.imgs``, Nodes 2.0 shows it as an element and leaves ``node.imgs`` empty."""


def from_template_browser(page, name: str) -> None:
    page.click("text=Templates")
    page.locator("[role=dialog]").get_by_text("ComfyUI-Perfusion").first.click()
    page.click(f'[data-testid="template-workflow-{name}"]')
    page.wait_for_function("count => app.graph.nodes.length === count", arg=len(shipped(name)["nodes"]))
    page.wait_for_selector("[role=dialog]", state="detached")


@pytest.fixture(scope="session")
def word(page, host):
    """The word of a concept that the page trained by its Run button; what it showed on the way is kept."""
    name = "vue_cat" if page.vue else "canvas_cat"
    open_workflow(page, shipped(TRAIN))
    settings = {"word": name, "superclass": "cat", **FEW}
    page.evaluate(FILL_TRAINING, [host.subject, settings, "\n".join(corpus(60))])
    page.evaluate(WATCH)
    page.click('[data-testid="queue-button"]')
    page.wait_for_selector(f".p-toast-message >> text=Concept saved: {name}", timeout=2 * PATIENCE)
    page.wait_for_function("() => document.querySelector('.perfusion-left').textContent === 'trained'")
    return name


def test_a_shipped_workflow_opens_from_the_template_browser_and_a_node_shows_its_help(page):
    """A new user finds the workflows where ComfyUI keeps them, and the help where ComfyUI shows it."""
    from_template_browser(page, USE)
    page.evaluate("kind => app.canvas.selectNode(app.graph.nodes.find(node => node.type === kind))", LOAD)
    page.click('[data-testid="info-button"]')
    page.wait_for_selector("h1:has-text('Load Perfusion Concept')")
    page.wait_for_selector("h2:has-text('Typical wiring')")
    page.click('[data-testid="info-button"]')
    assert page.complaints == []


def test_a_training_shows_its_loss_its_newest_preview_and_a_word_at_the_end(page, host, word):
    """Who trains sees how it goes and reads the word at the end; the curve is saved in no workflow."""
    previews = page.evaluate("() => Object.values(window.perfusionPreviews)")
    # A slow browser may miss one of the two.
    assert previews, "no preview stood on the node with the curve while time was left"
    page.wait_for_function(SHEET, arg=FEW["steps"] // FEW["preview_every"])
    assert re.fullmatch(r"([\d,]+ tokens of encoder \w+\.)?", page.evaluate(STATISTICS_LINE).strip())
    path = page.locator(".perfusion-training .perfusion-line").get_attribute("d")
    assert path.count("L") >= 1
    [held] = values(page, "PerfusionTrainConcept")
    assert held[:2] == [word, "cat"]
    assert page.evaluate(SAVED) == [name for name, _ in widget_inputs(definition(host, "PerfusionTrainConcept"))]
    assert page.complaints == []


def test_a_trained_concept_is_picked_by_its_picture_and_drawn_by_the_button(page, host, word):
    """A concept is in the list and drawn without a reload of the page, chosen by the picture that it was trained to."""
    from_template_browser(page, USE)
    page.click(".perfusion-card")
    tile = page.locator(f".perfusion-tile[title='{word}.safetensors']")
    page.wait_for_function("tile => tile.querySelector('img')?.naturalWidth > 64", arg=tile.element_handle())
    of_the_word = page.locator(".perfusion-tile:visible", has_text=word)
    assert of_the_word.count() == 1, "what Train keeps stands beside what Save wrote"
    search = page.get_by_role("searchbox")
    search.fill(word)
    assert of_the_word.count() == 2, "a search looks behind the line of what Train keeps"
    search.fill("")
    assert of_the_word.count() == 1
    assert tile.locator(".perfusion-facts").inner_text().startswith(f"{word}\ncat · SD 1.x\n{FEW['steps']} steps")
    tile.click()
    assert values(page, LOAD) == [[f"{word}.safetensors"]]
    page.evaluate(FILL_DRAWING, SIDE)
    assert "No concept here knows: my_subject" in page.inner_text(".perfusion-gate")
    box = page.evaluate_handle(TEXT_BOX, PROMPT)
    box.as_element().fill(f"a photo of a {word} on a beach")
    page.wait_for_function("() => /is named in 1 of/.test(document.querySelector('.perfusion-gate').innerText)")
    before = set(host.get("/history"))
    page.click('[data-testid="queue-button"]')
    while not (finished := set(host.get("/history")) - before):
        page.wait_for_timeout(200)
    outputs = host.get(f"/history/{finished.pop()}").popitem()[1]["outputs"].values()
    [pixels] = [host.picture(entry) for output in outputs for entry in output.get("images", ())]
    assert pixels.shape == (SIDE, SIDE, 3) and pixels.std() > 5
    assert page.complaints == []
