"""Perfusion Sweep on the real server: its cells, its scores, what it suggests, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from builders.judging_nodes import EVALUATE_PROMPT, SWEEP_PROMPTS, evaluate, sweep
from builders.server import WorkflowError
from builders.workflows import Workflow, apply, encode, load, random_concept, sample, show, training_pictures
from perfusion_ops import Concept
from perfusion_ops.concept.file import save_concept

FRONT, PICTURES, TABLE = 1, 2, 3


@pytest.fixture(scope="module")
def swept(server):
    """One run: the scored sweep, and each of its cells as Apply, KSampler and VAE Decode draw it."""
    graph = Workflow()
    loaded = load(graph)
    concept = graph.add("PerfusionLoadConcept", concept="teddy.safetensors")[0]
    pixels = graph.add("LoadImage", image=training_pictures(server.folder, 1)[0])[0]
    node = sweep(graph, loaded, concept, images=pixels)
    shown = {
        "grid": graph.add("PreviewImage", images=node[0]).name,
        "front": graph.add("PreviewImage", images=node[FRONT]).name,
        "pictures": graph.add("PreviewImage", images=node[PICTURES]).name,
    }
    table = graph.add("PreviewAny", source=node[TABLE]).name
    cells = []
    for strength in (1.0, 0.0):
        for bias in (-0.5, 0.6):
            model, clip = apply(graph, *loaded[:2], "teddy.safetensors", bias=bias, visual_strength=strength)
            for prompt in SWEEP_PROMPTS:
                text = encode(graph, clip, prompt.replace("{}", "teddy_t"))
                cells.append(show(graph, sample(graph, model, text, encode(graph, loaded[1], ""), size=64), loaded[2]))
    result = server.run(graph)
    pictures = {name: server.pictures(result, id_) for name, id_ in shown.items()}
    return pictures, [server.pictures(result, cell)[0] for cell in cells], result.outputs[table]["text"][0]


def test_each_cell_is_what_apply_and_ksampler_draw(swept):
    """What the grid shows is what the user gets with these values, to the last bit of the picture."""
    pictures, cells, _ = swept
    np.testing.assert_array_equal(pictures["pictures"], np.stack(cells))
    assert (pictures["pictures"][0] != pictures["pictures"][4]).any()


def test_the_grid_and_the_front_are_pictures_that_fit_a_browser(swept):
    """Two cells of two pictures of 64 pixels are a sheet of some hundred pixels; the front is a square."""
    _, height, width, _ = swept[0]["grid"].shape
    assert 2 * 128 < width < 900 and 3 * 64 < height < 900
    assert swept[0]["front"].shape == (1, 768, 768, 3)


def test_the_table_names_every_cell_and_how_it_was_measured(swept):
    """Who reads the table elsewhere knows what the numbers are and how the pictures were drawn."""
    table = swept[2]
    for bias in ("-0.5", "0.6"):
        for strength in ("1", "0"):
            assert f"bias {bias}, visual strength {strength}" in table
    assert "without another model" in table and "seed 5, 2 steps, cfg 4, euler, normal" in table


def test_a_negative_prompt_names_the_concept_as_behind_apply(server):
    """Who keeps a subject out by its word would sweep pictures that the word does nothing to."""
    graph = Workflow()
    loaded = load(graph)
    concept = graph.add("PerfusionLoadConcept", concept="teddy.safetensors")[0]
    one = {"rows": "none", "column_values": "-0.5", "prompts": EVALUATE_PROMPT, "negative": "a teddy_t", "steps": 1}
    swept = graph.add("PreviewImage", images=sweep(graph, loaded, concept, **one)[PICTURES]).name
    model, clip = apply(graph, *loaded[:2], "teddy.safetensors", bias=-0.5)
    texts = (encode(graph, clip, text) for text in (EVALUATE_PROMPT.replace("{}", "teddy_t"), "a teddy_t"))
    drawn = show(graph, sample(graph, model, *texts, size=64, steps=1), loaded[2])
    result = server.run(graph)
    np.testing.assert_array_equal(server.pictures(result, swept), server.pictures(result, drawn))


STEP = {"start_percent": 0.0, "end_percent": 0.5, "interpolation": "step", "strength_start": 1.0, "strength_end": 0.3}
STEP |= {"bias_shift_start": 0.4, "bias_shift_end": 0.0}


def test_a_schedule_holds_in_every_picture_as_on_apply(server):
    """Who means to draw with a schedule would choose dials, or post figures, of pictures without it."""
    graph = Workflow()
    loaded = load(graph)
    concept = graph.add("PerfusionLoadConcept", concept="teddy.safetensors")[0]
    schedule = graph.add("PerfusionSchedule", **STEP)[0]
    one = {"rows": "none", "column_values": "-0.5", "prompts": EVALUATE_PROMPT, "schedule": schedule}
    swept, judged = sweep(graph, loaded, concept, **one), evaluate(graph, loaded, concept, schedule=schedule)
    shown = [graph.add("PreviewImage", images=images).name for images in (swept[PICTURES], judged[1])]
    tables = [graph.add("PreviewAny", source=source).name for source in (swept[TABLE], judged[2])]
    for wires in ({"schedule": schedule}, {}):
        model, clip = apply(graph, *loaded[:2], "teddy.safetensors", bias=-0.5, **wires)
        text = encode(graph, clip, EVALUATE_PROMPT.replace("{}", "teddy_t"))
        shown.append(show(graph, sample(graph, model, text, encode(graph, loaded[1], ""), size=64), loaded[2]))
    result = server.run(graph)
    cells, rows, scheduled, plain = (server.pictures(result, name) for name in shown)
    np.testing.assert_array_equal(cells, scheduled)
    np.testing.assert_array_equal(rows[1:2], scheduled)
    assert (scheduled != plain).any()
    said = "times 1 and bias +0.4 at 0%, then visual strength times 0.3 and bias +0 at 50% of sampling"
    assert all(said in result.outputs[table]["text"][0] for table in tables)


def test_a_schedule_without_strength_is_refused(server):
    """A whole grid of the superclass would be drawn."""
    graph = Workflow()
    loaded = load(graph)
    still = graph.add("PerfusionSchedule", **{**STEP, "strength_start": 0.0, "strength_end": 0.0})[0]
    concept = graph.add("PerfusionLoadConcept", concept="teddy.safetensors")[0]
    graph.add("PreviewImage", images=sweep(graph, loaded, concept, schedule=still)[0])
    with pytest.raises(WorkflowError, match="The schedule's strength is 0 throughout"):
        server.run(graph)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"rows": "bias"}, "columns and rows both turn bias"),
        ({"column_values": "0.3, warm"}, "'warm' is no number for bias"),
        ({"column_values": "7"}, "bias 7 is outside -1 to 2"),
        ({"rows": "key_locking", "row_values": "sideways"}, "'sideways' is no key locking"),
        ({"prompts": "a photo of a dog"}, "write exactly one {}"),
        ({"denoise": 0.0}, "denoise is 0, so every picture would be latent_image as it is"),
    ],
)
def test_what_cannot_be_swept_is_refused_in_one_sentence(server, settings, sentence):
    """A mistake in the inputs costs no drawing."""
    graph = Workflow()
    loaded = load(graph)
    concept = graph.add("PerfusionLoadConcept", concept="teddy.safetensors")[0]
    graph.add("PreviewImage", images=sweep(graph, loaded, concept, **settings)[0])
    with pytest.raises(WorkflowError, match=sentence.replace("{", r"\{").replace("}", r"\}")):
        server.run(graph)


def test_what_apply_warns_of_is_told_by_the_nodes_that_apply_by_themselves(server):
    """Who judges a concept with another CLIP, or a strength of 0, does not take the pictures for what it can do."""
    path = server.folder / "models/perfusion/elsewhere.safetensors"
    save_concept(replace(random_concept("rex", "dog", 5), metadata={"encoder": "0123456789abcdef"}), path)
    graph = Workflow()
    model, clip, vae = load(graph)
    skipping = graph.add("CLIPSetLastLayer", clip=clip, stop_at_clip_layer=-2)[0]
    concept = graph.add("PerfusionLoadConcept", concept=path.name)[0]
    one = {"rows": "none", "prompts": EVALUATE_PROMPT, "steps": 1}
    nodes = [
        sweep(graph, (model, skipping, vae), concept, **one, column_values="-0.5, 0.6"),
        evaluate(graph, (model, skipping, vae), concept, steps=1),
    ]
    idle = sweep(graph, (model, clip, vae), concept, **one, column_values="0.6", visual_strength=0.0)
    tables = [graph.add("PreviewAny", source=node[i]).name for node, i in zip([*nodes, idle], (3, 2, 3), strict=True)]
    logged = len(server.log_text())
    result = server.run(graph)
    log = server.log_text()[logged:]
    told = {event["node"]: event["text"] for event in result.events_of("perfusion.told")}
    warned = {event["node"] for event in result.events_of("perfusion.warning")}
    sentences = "was trained with another text encoder than this CLIP's", "is encoded on layer -2 (clip skip)"
    for node, table in zip(nodes, tables, strict=False):
        assert all(sentence in told[node.name] for sentence in sentences)
        assert all(sentence in result.outputs[table]["text"][0] for sentence in sentences)
    assert [log.count(sentence) for sentence in sentences] == [2, 2], "once for each of the two nodes"
    assert "visual_strength is 0, so 'rex' draws exactly 'dog'" in told[idle.name]
    assert warned == {node.name for node in (*nodes, idle)}


def test_key_locking_of_a_concept_without_keys_of_its_own_is_no_dial(server):
    """Who sweeps or sets a dial that does nothing reads so, and does not compare pictures that are all the same."""
    learned = random_concept("teddy_p", "bear", 1)
    parts = {name: getattr(learned, name) for name in ("word", "superclass", "base_family", "value_residuals")}
    save_concept(Concept(gate="position", **parts), server.folder / "models/perfusion/by_position.safetensors")
    graph = Workflow()
    loaded = load(graph)
    concept = graph.add("PerfusionLoadConcept", concept="by_position.safetensors")[0]
    turned = {"columns": "key_locking", "column_values": "local, exact", "rows": "none"}
    node = sweep(graph, loaded, concept, **turned)
    graph.add("PreviewImage", images=node[0])
    with pytest.raises(WorkflowError, match="gate 'position', so key_locking has no effect on it and pictures"):
        server.run(graph)
    set_ = {"columns": "bias", "column_values": "0.6", "key_locking": "exact", "prompts": "a {}"}
    graph[node.name]["inputs"] |= set_
    told = server.run(graph).events_of("perfusion.told")
    assert "so key_locking has no effect on it" in told[-1]["text"]
