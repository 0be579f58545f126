"""A choice that another node gives, by a switch as people wire it: validation cannot see it, so it waits."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from builders.server import WorkflowError
from builders.workflows import Node, Output, Workflow, load, random_concept
from perfusion_ops.concept.file import save_concept


def given(graph: Workflow, value: str) -> Output:
    """``value`` from ComfyUI's own switch, whose output fits every input."""
    text = graph.add("PrimitiveString", value=value)[0]
    return graph.add("ComfySwitchNode", switch=True, on_true=text, on_false=text)[0]


def node(graph: Workflow, kind: str, name: str, value: str) -> Node:
    inputs: dict[str, Any] = {name: given(graph, value)}
    if kind == "PerfusionPictureFolder":
        inputs |= {"longest_side": 64}
    if kind == "PerfusionImportCheckpoint":
        model, clip, _vae = load(graph)
        inputs |= {"model": model, "clip": clip, "word": "new_t", "superclass": "dog", "concept_number": 1}
    added = graph.add(kind, **inputs)
    graph.add("PreviewAny", source=added[1])
    return added


@pytest.mark.parametrize(
    ("kind", "name", "sentence"),
    [
        ("PerfusionLoadConcept", "concept", "There is no concept file 'nothing'"),
        ("PerfusionLoadSnapshots", "run", "There is no training 'nothing' with snapshots"),
        ("PerfusionImportCheckpoint", "file", "There is no file 'nothing' in models/perfusion_import"),
        ("PerfusionPictureFolder", "folder", "There is no folder 'nothing' in ComfyUI's input folder"),
    ],
)
def test_a_missing_choice_of_another_node_is_named_when_it_runs(server, kind, name, sentence):
    """Not refused as None before it is known, nor by an error of Python."""
    graph = Workflow()
    node(graph, kind, name, "nothing")
    with pytest.raises(WorkflowError, match=sentence):
        server.run(graph)


def test_a_concept_that_another_node_chooses_is_loaded_and_its_changes_are_noticed(server):
    """A switch between concepts draws what is chosen, also after a file of that name was trained anew."""
    path = server.folder / "models/perfusion/switched.safetensors"
    for word in ("one_word", "two_word"):
        save_concept(random_concept(word, "dog", 5), path)
        graph = Workflow()
        node(graph, "PerfusionLoadConcept", "concept", path.name)
        assert word in json.dumps(server.run(graph).outputs)


def test_a_folder_that_another_node_chooses_is_loaded(server):
    """Pictures of several subjects, one folder after the other."""
    folder = server.folder / "input/switched"
    folder.mkdir()
    Image.fromarray(np.zeros((64, 64, 3), dtype=np.uint8)).save(folder / "one.png")
    (folder / "one.txt").write_text("a {} that was switched to")
    graph = Workflow()
    node(graph, "PerfusionPictureFolder", "folder", folder.name)
    assert "a {} that was switched to" in json.dumps(server.run(graph).outputs)
