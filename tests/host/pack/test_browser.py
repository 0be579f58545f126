"""The pack in a real browser, in both of the frontend's renderers: nodes, shipped workflows, saving and loading."""

from __future__ import annotations

import json
import shutil

import pytest

from builders.schema_snapshot import read_snapshot
from builders.server import Rejected, Server
from builders.ui_workflows import TRAIN, TWO, USE, shipped, to_api
from builders.workflows import training_pictures
from host_version import OLDEST

playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install playwright")
pytest.importorskip("comfyui_frontend_package", reason="the host has no front end: install its requirements")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
PATIENCE = 240_000
"""Milliseconds to wait for the page: a busy machine needs a minute."""

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.skipif(not CHROMIUM, reason="no Chromium found")]

READY = "() => !!(window.app?.graph && window.LiteGraph?.registered_node_types['PerfusionTrainConcept'])"
OPEN = "async workflow => { await app.loadGraphData(JSON.parse(workflow)) }"
SAVE = "() => JSON.stringify(app.graph.serialize())"
MISSING = "no_such_concept.safetensors"
COMPLAINT = "() => /errors? found|missing/i.test(document.body.innerText)"
FILL = """
kinds => {
  app.graph.clear()
  const other = {
    number: w => w.value + 2 * (w.options.step2 ?? 1),
    toggle: w => !w.value,
    combo: w => w.options.values.at(-1) ?? w.value,
  }
  for (const kind of kinds) {
    const node = LiteGraph.createNode(kind)
    app.graph.add(node)
    for (const widget of node.widgets ?? []) {
      widget.value = (other[widget.type] ?? (w => w.value + ' changed {}'))(widget)
    }
  }
  return JSON.stringify(app.graph.serialize())
}
"""


@pytest.fixture(scope="module")
def host(comfyui_path, host_folder):
    with Server(comfyui_path, host_folder()) as server:
        training_pictures(server.folder)
        yield server


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=["canvas", "vue"])
def page(request, host, chromium):
    """The frontend with one of its renderers; ``page.complaints`` holds what concerns the pack or broke a script."""
    host.post("/settings", {"Comfy.TutorialCompleted": True, "Comfy.VueNodes.Enabled": request.param == "vue"})
    opened = chromium.new_page(viewport={"width": 1600, "height": 1000})
    opened.set_default_timeout(PATIENCE)
    opened.complaints = []
    opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.on("console", lambda message: _note(opened.complaints, message))
    opened.goto(f"http://{host.address}/", wait_until="domcontentloaded")
    opened.wait_for_function(READY)
    yield opened
    opened.close()


def _note(complaints: list[str], message) -> None:
    if message.type in ("error", "warning") and "erfusion" in message.text:
        complaints.append(message.text)


def open_workflow(page, workflow: dict) -> None:
    page.evaluate(OPEN, json.dumps(workflow))
    page.wait_for_function("count => app.graph.nodes.length === count", arg=len(workflow["nodes"]))
    page.wait_for_timeout(1500)


def kept(workflow: dict) -> dict:
    """What must survive saving and loading: everything but where and how large nodes are drawn."""
    drawn = {"pos", "size", "order", "flags", "showAdvanced"}
    nodes = [{key: value for key, value in node.items() if key not in drawn} for node in workflow["nodes"]]
    return {"nodes": sorted(nodes, key=lambda node: node["id"]), "links": sorted(workflow["links"])}


def test_the_page_loads_without_a_complaint_about_the_pack(page):
    """The nodes are there in the browser, in both of its renderers."""
    known = page.evaluate("() => Object.keys(LiteGraph.registered_node_types).filter(n => n.startsWith('Perfusion'))")
    assert sorted(known) == sorted(read_snapshot())
    assert page.complaints == []


@pytest.mark.parametrize("name", [TRAIN, USE, TWO])
def test_a_shipped_workflow_opens_without_a_warning_and_survives_saving(page, name):
    """A workflow from the template browser opens, and saving it loses nothing."""
    open_workflow(page, shipped(name))
    assert not page.evaluate(COMPLAINT)
    saved = json.loads(page.evaluate(SAVE))
    assert kept(saved)["links"] == sorted(shipped(name)["links"])
    open_workflow(page, saved)
    assert kept(json.loads(page.evaluate(SAVE))) == kept(saved)
    assert not page.evaluate(COMPLAINT)
    assert page.complaints == []


@pytest.mark.parametrize("name", [TRAIN, USE, TWO])
def test_the_browser_would_queue_what_the_other_tests_run(page, host, name):
    """Negative control: the other tests run what a user's browser queues."""
    open_workflow(page, shipped(name))
    prompt = json.loads(page.evaluate("async () => JSON.stringify((await app.graphToPrompt()).output)"))
    queued = {node: {key: entry[key] for key in ("class_type", "inputs")} for node, entry in prompt.items()}
    assert queued == to_api(shipped(name), host)


def with_a_missing_concept() -> dict:
    workflow = shipped(USE)
    loader = next(node for node in workflow["nodes"] if node["type"] == "PerfusionLoadConcept")
    loader["widgets_values"] = [MISSING]
    return workflow


def test_a_missing_concept_is_complained_about(page, host):
    """Who opens a workflow without having its concept sees that it is missing."""
    if host.get("/system_stats")["system"]["comfyui_version"] == ".".join(map(str, OLDEST)):
        pytest.skip("the oldest ComfyUI's frontend says so only when the workflow is queued")
    open_workflow(page, with_a_missing_concept())
    page.wait_for_function(COMPLAINT)


def test_a_missing_concept_is_refused_by_name_when_it_is_queued(host):
    """Who queues a workflow without having its concept reads which file is missing."""
    with pytest.raises(Rejected, match=MISSING):
        host.queue(to_api(with_a_missing_concept(), host))


def test_every_widget_keeps_a_value_it_was_given(page):
    """No setting is lost, or moved to another widget, when a workflow is saved and opened."""
    saved = json.loads(page.evaluate(FILL, list(read_snapshot())))
    open_workflow(page, saved)
    again = json.loads(page.evaluate(SAVE))
    assert kept(again) == kept(saved)
    values = {node["type"]: node["widgets_values"] for node in again["nodes"]}
    for node, schema in read_snapshot().items():
        defaults = [entry["default"] for entry in schema["inputs"].values() if "default" in entry]
        assert len(defaults) in (len(values[node]), len(values[node]) - 1), node
        assert values[node] != defaults, node
