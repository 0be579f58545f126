"""Evaluate Perfusion Concept on the real server: its rows, its table, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from builders.judging_nodes import EVALUATE_PROMPT, evaluate
from builders.server import WorkflowError
from builders.workflows import Workflow, apply, encode, load, sample, show, training_pictures


def test_the_rows_are_what_the_users_own_workflow_draws_and_the_table_says_what_they_are(server):
    """A person can post the table: it names the concept, the sampler, every method, and the test of harm."""
    graph = Workflow()
    loaded = load(graph)
    pixels = graph.add("LoadImage", image=training_pictures(server.folder, 1)[0])[0]
    other = {"other_model": loaded[0], "other_clip": loaded[1], "other_word": "cat"}
    concept = graph.add("PerfusionLoadConcept", concept="teddy.safetensors")[0]
    node = evaluate(graph, loaded, concept, images=pixels, **other)
    sheet, pictures = (graph.add("PreviewImage", images=node[index]).name for index in (0, 1))
    table = graph.add("PreviewAny", source=node[2]).name
    named = apply(graph, *loaded[:2], "teddy.safetensors", bias=-0.5)
    shown = []
    for (model, clip), word in ((loaded[:2], "bear"), (named, "teddy_t"), (loaded[:2], "cat")):
        text = encode(graph, clip, EVALUATE_PROMPT.replace("{}", word))
        shown.append(show(graph, sample(graph, model, text, encode(graph, clip, ""), size=64), loaded[2]))
    result = server.run(graph)
    expected = np.concatenate([server.pictures(result, name) for name in shown])
    np.testing.assert_array_equal(server.pictures(result, pictures), expected)
    assert len(server.pictures(result, sheet)) == 1
    text = result.outputs[table]["text"][0]
    rows = [line for line in text.splitlines() if line.startswith("|")][2:]
    assert [row.split("|")[1].strip() for row in rows] == ["plain model", "concept teddy_t", "other: cat"]
    assert all("the same to the bit" in row for row in rows)
    assert "The other methods are not scored" in text and "seed 5, 2 steps, cfg 4, euler, normal" in text


@pytest.mark.parametrize(
    ("wired", "settings", "sentence"),
    [
        (("other_model",), {"other_word": "cat"}, "other_model is connected and other_clip is not"),
        (("other_model", "other_clip"), {}, "other_word is empty"),
        ((), {"second_word": "cat"}, "second_word is given"),
    ],
)
def test_half_a_method_is_refused_in_one_sentence(server, wired, settings, sentence):
    """A wire forgotten costs no drawing and is named."""
    graph = Workflow()
    loaded = load(graph)
    wires = {name: loaded[0] if name.endswith("model") else loaded[1] for name in wired}
    concept = graph.add("PerfusionLoadConcept", concept="teddy.safetensors")[0]
    graph.add("PreviewImage", images=evaluate(graph, loaded, concept, **wires, **settings)[0])
    with pytest.raises(WorkflowError, match=sentence):
        server.run(graph)
