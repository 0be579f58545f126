"""What our scripts add to the nodes, in both renderers: concepts by their pictures, the gate's curve, concept words."""

from __future__ import annotations

import math

import pytest
import torch
from PIL import Image

from builders.browser import PLACE, frontend_version, kept, new_page, open_workflow, saved, values
from builders.server import PACK_FOLDER
from builders.ui_workflows import TWO, USE, shipped
from perfusion_ops.edit.equations import Gate, gate_strength
from perfusion_ops.text.words import find_words

APPLY, LOAD = "PerfusionApplyKeyLockedAttention", "PerfusionLoadConcept"
GIVES_WHILE_DRAGGED = (1, 49, 6)
"""The oldest frontend whose Nodes 2.0 was seen to give a number's new values before the button is let go."""
CALL = """
async ([pack, file, name, many]) => {
  const module = await import(`/extensions/${pack}/${file}`)
  return many.map(given => module[name](...given))
}
"""
CURVE = "() => document.querySelector('.perfusion-gate .perfusion-line').getAttribute('d')"
TILES_READ = "[...document.querySelectorAll('.perfusion-tile')].every(tile => tile.querySelector('.perfusion-word'))"
TILES = "document.querySelectorAll('.perfusion-tile img')"
LINES = "() => [...document.querySelectorAll('.perfusion-gate .perfusion-note')].map(line => line.textContent)"
SET = """
([kind, name, value]) => {
  for (const node of app.graph.nodes.filter(node => node.type === kind)) {
    const widget = node.widgets.find(widget => widget.name === name)
    widget.value = value
    widget.callback?.(value, app.canvas, node)
  }
}
"""
FIRST = "([kind, value]) => { app.graph.nodes.find(node => node.type === kind).widgets[0].value = value }"
TELL = "() => window.comfyAPI.api.api.dispatchEvent(new CustomEvent('graphChanged'))"
"""As the frontend does after each change that a user makes."""


def call(page, file: str, name: str, many: list) -> list:
    """What a function of our scripts gives for each of ``many`` arguments."""
    return page.evaluate(CALL, [PACK_FOLDER, file, name, many])


@pytest.fixture(scope="module", autouse=True)
def thumbnail(host):
    """A picture beside one of the concept files, which many programs write and our nodes too."""
    Image.new("RGB", (40, 30), "red").save(host.folder / "models/perfusion/teddy.jpg")


def test_a_chosen_concept_shows_its_picture_and_what_it_is(page):
    """Who opens a workflow sees which concept it draws, not only a file's name."""
    open_workflow(page, shipped(USE))
    page.evaluate(SET, [LOAD, "concept", "teddy.safetensors"])
    page.wait_for_function("() => document.querySelector('.perfusion-card img')?.naturalWidth === 40")
    said = page.inner_text(".perfusion-card")
    assert said.splitlines()[:2] == ["teddy_t", "bear · SD 1.x"]
    page.evaluate(SET, [LOAD, "concept", "mug.safetensors"])
    page.wait_for_function("() => document.querySelector('.perfusion-card').innerText.includes('mug_m')")
    assert page.inner_text(".perfusion-card .perfusion-letter") == "M"
    assert page.complaints == []


def test_the_picker_finds_a_concept_and_the_combo_keeps_it(page):
    """Concepts are chosen by their pictures; the workflow holds the file's name as ever, and undo works."""
    open_workflow(page, shipped(USE))
    page.evaluate(SET, [LOAD, "concept", "mug.safetensors"])
    page.click(".perfusion-card")
    page.wait_for_function(f"() => [...{TILES}].some(picture => picture.naturalWidth === 40)")
    assert page.locator(".perfusion-tile").count() >= 4
    assert page.inner_text(".perfusion-current .perfusion-word") == "mug_m"
    page.wait_for_function(f"() => {TILES_READ}")
    page.keyboard.type("sd 1.x")
    assert page.locator(".perfusion-tile:visible").count() >= 4, "a model family is searched as the card shows it"
    page.keyboard.press("Control+a")
    page.keyboard.type("Bear")
    assert page.locator(".perfusion-tile:visible").count() == 1
    page.click(".perfusion-tile:visible")
    assert page.locator("dialog.perfusion-picker").count() == 0
    assert values(page, LOAD) == [["teddy.safetensors"]]
    page.wait_for_function("() => document.querySelector('.perfusion-card').innerText.includes('teddy_t')")
    page.keyboard.press("Control+z")
    page.wait_for_function("() => app.graph.serialize().nodes.some(n => n.widgets_values?.[0] === 'mug.safetensors')")
    page.wait_for_function("() => document.querySelector('.perfusion-card').innerText.includes('mug_m')")
    page.wait_for_function("() => document.querySelector('.perfusion-gate').innerText.includes('my_subject')")


def test_the_picker_leaves_the_choice_alone_when_it_is_closed(page):
    """Escape in the picker changes nothing, and its keys do not reach the graph behind."""
    open_workflow(page, shipped(USE))
    page.evaluate(SET, [LOAD, "concept", "mug.safetensors"])
    page.click(".perfusion-card")
    page.keyboard.type("no such concept, r and q")
    page.wait_for_selector("dialog .perfusion-dim:has-text('No concept is found.')")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog.perfusion-picker", state="detached")
    assert values(page, LOAD) == [["mug.safetensors"]]


def test_the_gate_moves_while_the_bias_is_dragged(page):
    """The curve shows at once what a bias does, before anything is drawn."""
    open_workflow(page, shipped(USE))
    before, bias = page.evaluate(CURVE), values(page, APPLY)[0][1]
    if page.vue:
        box = page.locator(".lg-node-widget", has_text="bias").locator("input").first.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    else:
        x, y = page.evaluate(PLACE, [APPLY, "bias", 0.5])
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 20, y, steps=4)
    page.mouse.move(x + 60, y, steps=4)
    if page.vue and frontend_version(page) < GIVES_WHILE_DRAGGED:
        page.mouse.up()
    page.wait_for_function(f"before => ({CURVE})() !== before", arg=before)
    page.mouse.up()
    assert values(page, APPLY)[0][1] != bias
    assert page.complaints == []


def test_a_schedule_is_told_under_the_curve_and_drawn_in_it(page):
    """Who connects a schedule would read the curve as the gate of all steps."""
    open_workflow(page, shipped(USE))
    page.evaluate(
        """([kind, first, last]) => {
          const apply = app.graph.nodes.find(node => node.type === kind)
          const [early, late] = [first, last].map(values => {
            const node = LiteGraph.createNode('PerfusionSchedule')
            app.graph.add(node)
            for (const [name, value] of Object.entries(values)) node.widgets.find(w => w.name === name).value = value
            return node
          })
          const into = (node, name) => node.inputs.findIndex(input => input.name === name)
          early.connect(0, late, into(late, 'prev_schedule'))
          late.connect(0, apply, into(apply, 'schedule'))
        }""",
        [
            *(APPLY, {"end_percent": 0.2, "strength_start": 0, "bias_shift_start": 0.3}),
            {"start_percent": 0.4, "end_percent": 0.8},
        ],
    )
    page.evaluate(SET, [APPLY, "visual_strength", 1.5])
    page.evaluate(TELL)
    said = "Schedule: bias 0.9, strength 0 at 0 %; 0.6, 1.5 at 80 %"
    page.wait_for_function(f"said => ({LINES})().includes(said)", arg=said)
    drawn = page.evaluate("() => [...document.querySelectorAll('.perfusion-scheduled')].map(p => p.getAttribute('d'))")
    assert len(drawn) == 2 and drawn[1] == page.evaluate(CURVE) != drawn[0]
    assert page.complaints == []


def test_a_bias_from_another_node_is_not_drawn_as_if_it_were_the_nodes_own(page):
    """The curve never shows a gate that the workflow does not use."""
    open_workflow(page, shipped(USE))
    page.evaluate(
        """kind => {
          const apply = app.graph.nodes.find(node => node.type === kind)
          const gives = type => type.nodeData?.output?.[0] === 'FLOAT' && !type.nodeData.name.startsWith('Primitive')
          const [other] = Object.entries(LiteGraph.registered_node_types).find(([, type]) => gives(type))
          const source = app.graph.add(LiteGraph.createNode(other))
          source.connect(0, apply, apply.inputs.findIndex(input => input.name === 'bias'))
        }""",
        APPLY,
    )
    page.wait_for_selector("text=Another node gives bias or temperature.")
    assert page.locator(".perfusion-gate .perfusion-line").count() == 0


def test_apply_tells_whether_a_prompt_names_its_concept(page):
    """A misspelt word, and one whose concept is not applied, are seen before a picture is drawn without them."""
    open_workflow(page, shipped(TWO))
    page.evaluate(SET, [LOAD, "concept", "teddy.safetensors"])
    page.evaluate(FIRST, [LOAD, "mug.safetensors"])
    said = {
        "a TEDDY_T and a mug_m": ["mug_m is named in 1 of 1 prompts.", "teddy_t is named in 1 of 1 prompts."],
        "a teddy_t on a beach": ["No prompt names mug_m.", "teddy_t is named in 1 of 1 prompts."],
        "a teddy_t2 and a mug_m": ["No concept here knows: teddy_t2", "mug_m is named in 1 of 1 prompts."],
    }
    for prompt, lines in said.items():
        page.evaluate(SET, ["CLIPTextEncode", "text", prompt])
        page.evaluate(TELL)
        page.wait_for_function(f"lines => ({LINES})().sort().join() === lines.sort().join()", arg=lines)


def test_values_survive_copies_and_subgraphs(page):
    """Nothing that a user set is lost in a copy, in a subgraph or on the way out of one."""
    open_workflow(page, shipped(USE))
    page.evaluate(SET, [LOAD, "concept", "teddy.safetensors"])
    page.evaluate(SET, [APPLY, "bias", 0.41])
    before = {kind: values(page, kind) for kind in (APPLY, LOAD)}
    ours = "new Set(app.graph.nodes.filter(node => node.type.startsWith('Perfusion')))"
    page.evaluate(f"() => {{ app.canvas.copyToClipboard({ours}); app.canvas.pasteFromClipboard() }}")
    assert {kind: values(page, kind) for kind in before} == {kind: 2 * found for kind, found in before.items()}
    open_workflow(page, {**shipped(USE)})
    page.evaluate(SET, [LOAD, "concept", "teddy.safetensors"])
    page.evaluate(SET, [APPLY, "bias", 0.41])
    page.evaluate(f"() => {{ app.graph.convertToSubgraph({ours}) }}")
    inside = {node["type"]: node["widgets_values"] for node in saved(page)["definitions"]["subgraphs"][0]["nodes"]}
    assert {kind: [found] for kind, found in inside.items()} == before
    open_workflow(page, saved(page))
    page.evaluate("() => { app.graph.unpackSubgraph(app.graph.nodes.find(node => node.subgraph)) }")
    assert {kind: values(page, kind) for kind in before} == before
    assert page.complaints == []


def test_the_curve_is_the_gate_of_the_method(page):
    """The curve shows the gate that the nodes use, in each of its forms."""
    similarities = [-0.25, 0.0, 0.3, 0.6, 1.0, 1.25]
    for bias, temperature, leak_free in ((0.6, 0.15, False), (-0.5, 1.0, True), (0.4, 0.01, True)):
        gate = {"bias": bias, "temperature": temperature, "leakFree": leak_free}
        expected = gate_strength(torch.tensor(similarities, dtype=torch.float64), Gate(bias, temperature, leak_free))
        drawn = call(page, "gate.js", "gateStrength", [[similarity, gate] for similarity in similarities])
        assert drawn == pytest.approx(expected.tolist(), abs=1e-9)
        by_position = call(page, "gate.js", "gateStrength", [[s, {**gate, "byPosition": True}] for s in (0.99, 1)])
        assert by_position == [0, pytest.approx(expected[4].item())]


def test_the_browser_finds_words_where_the_server_does(page):
    """The line under the gate does not contradict what is drawn."""
    word = "my_cat"
    prompts = ["a My_Cat, on a beach", "my_cat's hat", "(my_cat:1.2)", "my_cats", "his_my_cat", "my_cat2", "a cat", ""]
    pairs = [(prompt, word) for prompt in prompts] + [("一只小猫在森林里", "小猫"), ("MY  TEDDY here", "my teddy")]
    found = call(page, "words.js", "names", [list(pair) for pair in pairs])
    assert found == [bool(find_words(prompt, [word])) for prompt, word in pairs]
    [strangers] = call(page, "words.js", "strangers", [["my_dog my_cat embedding:a_b <lora:c_d:1> __e_f__", [word]]])
    assert strangers == ["my_dog"]


def test_the_time_left_is_said_in_a_unit_of_its_size(page):
    """Nobody counts thousands of seconds."""
    seconds = [0, 59, 60, 150, 5_000, 7_500]
    keys = ["secondsLeft", "secondsLeft", "minutesLeft", "minutesLeft", "minutesLeft", "hoursLeft"]
    assert [key for key, _ in call(page, "loss.js", "timeLeft", [[one] for one in seconds])] == keys
    losses, box = [[1, 0.5], [51, 0.3], [101, 0.4]], {"width": 100, "height": 50}
    [points] = call(page, "loss.js", "lossCurve", [[losses, 201, box]])
    assert [x for x, _ in points] == [0, 25, 50]
    assert [y for _, y in points] == pytest.approx([0, 50, 25]) and all(map(math.isfinite, sum(points, [])))


def test_the_pack_is_whole_without_its_scripts(host, chromium):
    """With the scripts switched off, workflows open, hold and save the same values."""
    off = new_page(chromium, host, vue=False, **{"Comfy.Extension.Disabled": ["Perfusion"]})
    try:
        for name in (USE, TWO):
            open_workflow(off, shipped(name))
            first = saved(off)
            assert kept(first)["links"] == sorted(shipped(name)["links"])
            opened, expected = (
                {node["id"]: node["widgets_values"] for node in workflow["nodes"] if node["type"] == APPLY}
                for workflow in (first, shipped(name))
            )
            assert opened == expected
        assert off.locator("[class^=perfusion]").count() == 0
        assert off.complaints == ["Extension Perfusion is disabled."]
    finally:
        off.close()
        host.post("/settings", {"Comfy.Extension.Disabled": []})
