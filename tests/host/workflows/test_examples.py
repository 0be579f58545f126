"""The shipped workflows run as a user would run them: pictures chosen, prompts written, one after the other."""

from __future__ import annotations

import numpy as np
import pytest

from builders import evaluate_workflow
from builders.region_workflow import workflow
from builders.server import Server
from builders.ui_workflows import EVALUATE, REGIONS, SWEEP, TRAIN, TWO, USE, nodes_of, set_inputs, shipped, to_api
from builders.workflows import mean_difference, training_pictures

SMALL = {"width": 64, "height": 64}
FEW_STEPS = {"steps": 2}
COLOURS = ("red", "green", "blue", "old", "small", "big")


@pytest.fixture(scope="module")
def host(comfyui_path, host_folder):
    with Server(comfyui_path, host_folder()) as server:
        yield server


@pytest.fixture(scope="module")
def trained(host):
    """Two concepts from the training workflow, as Load Perfusion Concept lists them; and what the first run left."""
    pictures = training_pictures(host.folder)
    results = [host.run(training(host, pictures, *words)) for words in (("my_subject", "dog"), ("my_other", "cat"))]
    names = host.get("/object_info/PerfusionLoadConcept")["PerfusionLoadConcept"]["input"]["required"]["concept"]
    return names[1]["options"], results[0]


def training(host, pictures: list[str], word: str, superclass: str) -> dict:
    """The training workflow with three pictures of different sizes, twice for lack of others, and very few steps."""
    graph = to_api(shipped(TRAIN), host)
    for number, loader in enumerate(nodes_of(graph, "LoadImage")):
        graph[loader]["inputs"]["image"] = pictures[number % len(pictures)]
    settings = {"steps": 2, "batch_size": 2, "micro_batch": 2, "preview_every": 0}
    set_inputs(graph, "PerfusionTrainConcept", word=word, superclass=superclass, **settings)
    set_inputs(graph, "PerfusionSaveConcept", filename=word)
    # The shipped captions would take minutes to measure on a processor.
    captions = "\n".join(f"a {colour} {thing}" for colour in COLOURS for thing in ("dog", "cat", "house", "tree"))
    (train,) = nodes_of(graph, "PerfusionTrainConcept")
    clip = graph[train]["inputs"]["clip"]
    graph["90"] = {
        "class_type": "PerfusionTextStatistics",
        "inputs": {"clip": clip, "captions": 100, "own_captions": captions},
    }
    graph[train]["inputs"]["statistics"] = ["90", 0]
    return graph


def drawing(host, name: str, concepts: list[str], texts: list[str]) -> dict:
    """A drawing workflow with these concepts and prompts, small and short."""
    graph = to_api(shipped(name), host)
    for node, concept in zip(nodes_of(graph, "PerfusionLoadConcept"), concepts, strict=True):
        graph[node]["inputs"]["concept"] = concept
    positives = [graph[node]["inputs"]["positive"][0] for node in nodes_of(graph, "KSampler")]
    for node, text in zip(positives, texts, strict=True):
        graph[node]["inputs"]["text"] = text
    set_inputs(graph, "EmptyLatentImage", **SMALL)
    set_inputs(graph, "KSampler", **FEW_STEPS)
    return graph


def test_training_saves_concepts_that_the_loader_lists(trained):
    """What the training workflow makes can be chosen in the drawing workflows."""
    names, _result = trained
    assert {"my_subject.safetensors", "my_other.safetensors"} <= set(names)


def test_training_plots_its_loss(host, trained):
    """The training workflow shows how its loss went."""
    _names, result = trained
    (plot,) = nodes_of(to_api(shipped(TRAIN), host), "LossGraphNode")
    assert host.pictures(result, plot).shape[0] == 1


def test_the_trained_concept_draws(host, trained):
    """The first workflow a user opens after a training draws the concept."""
    graph = drawing(host, USE, ["my_subject.safetensors"], ["a photo of my_subject on a beach"])
    (save,) = nodes_of(graph, "SaveImage")
    picture = host.pictures(host.run(graph), save)
    assert picture.shape == (1, 64, 64, 3)
    set_inputs(graph, "PerfusionApplyKeyLockedAttention", bias=-0.5)
    assert mean_difference(picture, host.pictures(host.run(graph), save)) > 0


def test_two_concepts_draw_beside_the_picture_without_them(host, trained):
    """The workflow for two concepts draws both, and beside it what the same prompt draws without them."""
    texts = ["a photo of a my_subject and a my_other on a beach", "a photo of a dog and a cat on a beach"]
    graph = drawing(host, TWO, ["my_subject.safetensors", "my_other.safetensors"], texts)
    result = host.run(graph)
    both, without = (host.pictures(result, save) for save in nodes_of(graph, "SaveImage"))
    assert mean_difference(both, without) > 0
    set_inputs(graph, "PerfusionApplyKeyLockedAttention", visual_strength=0.0)
    at_zero = host.pictures(host.run(graph), nodes_of(graph, "SaveImage")[0])
    np.testing.assert_array_equal(at_zero, without)


def test_the_workflow_of_two_regions_is_what_its_command_writes(host):
    """A changed node is not left behind in the workflow: the file is written anew by one command."""
    written, saved = workflow(host.get("/object_info")), shipped(REGIONS)
    assert written == saved


def test_the_sweep_scores_its_cells(host, trained):
    """The sweep's workflow leaves a grid, a front and a table with the scores of its cells."""
    graph = to_api(shipped(SWEEP), host)
    set_inputs(graph, "PerfusionLoadConcept", concept="my_subject.safetensors")
    for loader in nodes_of(graph, "LoadImage"):
        graph[loader]["inputs"]["image"] = training_pictures(host.folder)[0]
    set_inputs(graph, "EmptyLatentImage", **SMALL)
    few = {"prompts": "a photo of a {} on a beach", "column_values": "0.3, 0.6", "rows": "none"}
    set_inputs(graph, "PerfusionSweep", **FEW_STEPS, **few)
    result = host.run(graph)
    grid, front = (host.pictures(result, save) for save in nodes_of(graph, "SaveImage"))
    assert len(grid) == len(front) == 1
    (table,) = nodes_of(graph, "PreviewAny")
    assert "| 2 | bias 0.6" in result.outputs[table]["text"][0]


def test_the_workflow_that_evaluates_is_what_its_command_writes(host):
    """A changed node is not left behind in the workflow: the file is written anew by one command."""
    assert evaluate_workflow.workflow(host.get("/object_info")) == shipped(EVALUATE)


def test_a_value_too_many_is_noticed(host):
    """Negative control: a shipped workflow with a value too many would be noticed."""
    workflow = shipped(USE)
    next(node for node in workflow["nodes"] if node["type"] == "KSampler")["widgets_values"].append(1)
    with pytest.raises(ValueError, match="1 widget values more"):
        to_api(workflow, host)
