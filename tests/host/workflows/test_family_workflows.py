"""The shipped workflows of the families beside Stable Diffusion: whole, and what their command writes."""

from __future__ import annotations

import pytest

from builders.family_workflows import RECIPES, TITLE, workflow
from builders.ui_workflows import nodes_of, shipped, to_api


@pytest.fixture(scope="module")
def definitions(server):
    return server.get("/object_info")


@pytest.mark.parametrize("title", RECIPES)
def test_a_familys_workflow_is_whole(server, definitions, title):
    """Every node is one that ComfyUI has, every link fits its slot, every value its widget."""
    saved = shipped(TITLE.format(title))
    graph = to_api(saved, server)
    kinds = {name: node["class_type"] for name, node in graph.items()}
    for name, node in graph.items():
        for key, value in node["inputs"].items():
            if isinstance(value, list) and len(value) == 2 and value[0] in kinds:
                outputs = definitions[kinds[value[0]]]["output"]
                groups = definitions[node["class_type"]]["input"]
                wanted = {**groups.get("required", {}), **groups.get("optional", {})}[key][0]
                assert outputs[value[1]] == wanted, (kinds[name], key)
        needed = definitions[node["class_type"]]["input"].get("required", {})
        assert set(needed) <= set(node["inputs"]), kinds[name]
    (train,) = nodes_of(graph, "PerfusionTrainConcept")
    (sampler,) = nodes_of(graph, "KSampler")
    assert graph[train]["inputs"]["gate"] == "auto" and graph[train]["inputs"]["gradient_checkpointing"] is True
    assert graph[sampler]["inputs"]["cfg"] == RECIPES[title].cfg


@pytest.mark.parametrize("title", RECIPES)
def test_a_familys_workflow_is_what_its_command_writes(definitions, title):
    """A changed node is not left behind in a workflow: the files are written anew by one command."""
    written, saved = workflow(title, RECIPES[title], definitions), shipped(TITLE.format(title))
    for one, other in zip(written["nodes"], saved["nodes"], strict=True):
        assert one["type"] == other["type"] and one["inputs"] == other["inputs"]
    assert written["links"] == saved["links"]


@pytest.mark.parametrize("title", RECIPES)
def test_a_familys_workflow_names_no_concept_of_another_machine(title):
    """A user's first run does not fail for a file that only the machine had on which the workflow was written."""
    [concept] = [node for node in shipped(TITLE.format(title))["nodes"] if node["type"] == "PerfusionLoadConcept"]
    assert concept["widgets_values"] == []
