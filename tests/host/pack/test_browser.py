"""The pack in a real browser, in both of the frontend's renderers: nodes, shipped workflows, saving and loading."""

from __future__ import annotations

import json

import pytest

from builders.browser import COMPLAINT, OVERLAPS, frontend_version, kept, open_workflow, saved
from builders.family_workflows import TITLE
from builders.schema_snapshot import OF_THE_HOST, read_snapshot
from builders.server import Rejected
from builders.ui_workflows import EVALUATE, REGIONS, SWEEP, TRAIN, TWO, USE, shipped, to_api

COMPLAINS = (1, 49, 6)
"""The oldest frontend that was seen to complain about a missing file when a workflow is opened."""
SIZED = (1, 49, 6)
"""The oldest frontend that was seen to draw Load Image no taller than the workflows have room for."""
MISSING = "no_such_concept.safetensors"
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
MOUNT = """
async kinds => {
  app.graph.clear()
  const nodes = kinds.map((kind, index) => {
    const node = LiteGraph.createNode(kind)
    node.pos = [450 * (index % 8), 900 * Math.floor(index / 8)]
    app.graph.add(node)
    return node
  })
  app.canvas.ds.scale = 0.3
  app.canvas.setDirty(true, true)
  await new Promise(resolve => setTimeout(resolve, 500))
  return nodes.map(node => ({
    kind: node.type,
    places: [...node.inputs.map(slot => slot.name), ...(node.widgets ?? []).map(widget => widget.name)],
    outputs: node.outputs.map(slot => [slot.name, slot.type]),
    drawn: !!document.querySelector(`[data-node-id="${node.id}"]`),
  }))
}
"""


def test_the_page_loads_without_a_complaint_about_the_pack(page):
    """The nodes are there in the browser, in both of its renderers."""
    known = page.evaluate("() => Object.keys(LiteGraph.registered_node_types).filter(n => n.startsWith('Perfusion'))")
    assert sorted(known) == sorted(read_snapshot())
    assert page.complaints == []


def test_every_node_mounts_with_all_that_its_schema_names(page, host):
    """Every node of the pack can be put on the canvas, with all of its inputs and outputs, and is drawn."""
    schemas = {kind: info for kind, info in host.get("/object_info").items() if kind.startswith("Perfusion")}
    mounted = page.evaluate(MOUNT, list(schemas))
    assert [node["kind"] for node in mounted] == list(schemas)
    for node, schema in zip(mounted, schemas.values(), strict=True):
        declared = {*schema["input"].get("required", {}), *schema["input"].get("optional", {})}
        assert declared <= set(node["places"]), node["kind"]
        assert [name for name, _ in node["outputs"]] == schema["output_name"], node["kind"]
        assert [kind for _, kind in node["outputs"]] == schema["output"], node["kind"]
        assert node["drawn"] is page.vue, node["kind"]
    assert page.complaints == []


@pytest.mark.parametrize("name", [TRAIN, USE, TWO, REGIONS, SWEEP, EVALUATE])
def test_a_shipped_workflow_opens_without_a_warning_and_survives_saving(page, name):
    """A workflow from the template browser opens, no node hides another, and saving it loses nothing."""
    open_workflow(page, shipped(name))
    assert not page.evaluate(COMPLAINT)
    assert page.evaluate(OVERLAPS) == [] or frontend_version(page) < SIZED
    first = saved(page)
    assert kept(first)["links"] == sorted(shipped(name)["links"])
    open_workflow(page, first)
    assert kept(saved(page)) == kept(first)
    assert not page.evaluate(COMPLAINT)
    assert page.complaints == []


@pytest.mark.parametrize("family", ["Chroma", "Flux.1"])
def test_no_node_of_a_familys_workflow_hides_another(page, family):
    """A user would not see a node that is to be switched on. These two have all the nodes that families differ in."""
    open_workflow(page, shipped(TITLE.format(family)))
    assert page.evaluate(OVERLAPS) == []


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


def test_a_missing_concept_is_complained_about(page):
    """Who opens a workflow without having its concept sees that it is missing."""
    if frontend_version(page) < COMPLAINS:
        pytest.skip("an older frontend says so only when the workflow is queued")
    open_workflow(page, with_a_missing_concept())
    page.wait_for_function(COMPLAINT)


def test_a_missing_concept_is_refused_by_name_when_it_is_queued(host):
    """Who queues a workflow without having its concept reads which file is missing."""
    with pytest.raises(Rejected, match=MISSING):
        host.queue(to_api(with_a_missing_concept(), host))


def test_every_widget_keeps_a_value_it_was_given(page):
    """No setting is lost, or moved to another widget, when a workflow is saved and opened."""
    filled = json.loads(page.evaluate(FILL, list(read_snapshot())))
    open_workflow(page, filled)
    again = saved(page)
    assert kept(again) == kept(filled)
    values = {node["type"]: node["widgets_values"] for node in again["nodes"]}
    for node, schema in read_snapshot().items():
        defaults = [entry["default"] for entry in schema["inputs"].values() if "default" in entry]
        # Samplers and schedulers are the host's; one more is what follows a seed, or a file's name.
        more = len(values[node]) - len(defaults) - sum(name in OF_THE_HOST for name in schema["inputs"])
        assert more in (0, 1), node
        assert values[node] != defaults, node
