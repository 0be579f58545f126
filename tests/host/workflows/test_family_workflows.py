"""The shipped workflows of the families beside Stable Diffusion: whole, and what their command writes."""

from __future__ import annotations

import pytest

from builders.family_templates import CLIP_LOADERS, templates
from builders.family_workflows import RECIPES, TITLE, workflow
from builders.ui_workflows import nodes_of, shipped, to_api

OFFICIAL = {
    "Chroma Radiance": "image_chroma1_radiance_text_to_image",
    "LongCat-Image": "image_longcat_text_to_image",
    "NewBie": "image_newbieimage_exp0_1-t2i",
    "Ovis-Image": "image_ovis_text_to_image",
}
"""Workflow -> the official template that it does as."""
SETTINGS = {"UNETLoader", *CLIP_LOADERS, "VAELoader", "T5TokenizerOptions", "ModelSamplingAuraFlow", "CFGNorm"}
SETTINGS |= {"FluxGuidance", "KSampler", "CFGGuider", "KSamplerSelect", "BetaSamplingScheduler"}
SETTINGS |= {"EmptySD3LatentImage", "EmptyChromaRadianceLatentImage"}
"""Nodes whose values are the template's own."""
LIST = "CreateList"
"""Its output is of the kind that its inputs are."""
OPEN = ("LoadImage", "PerfusionLoadConcept")
NOT_THE_SAME = {"seed", "batch_size"}


def settings(saved: dict, server) -> list[tuple[str, dict]]:
    """Node and values, of the nodes in ``SETTINGS``."""
    graph = to_api(saved, server).values()
    return sorted(
        ((node["class_type"], _values(node["inputs"])) for node in graph if node["class_type"] in SETTINGS), key=str
    )


def _values(inputs: dict) -> dict:
    return {name: value for name, value in inputs.items() if not isinstance(value, list) and name not in NOT_THE_SAME}


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
                inputs = {**groups.get("required", {}), **groups.get("optional", {})}
                wanted = "IMAGE" if kinds[name] == LIST else inputs[key][0]
                given = "IMAGE" if kinds[value[0]] == LIST else outputs[value[1]]
                assert given == wanted, (kinds[name], key)
        needed = definitions[node["class_type"]]["input"].get("required", {})
        assert set(needed) <= {key.partition(".")[0] for key in node["inputs"]}, kinds[name]
    (train,) = nodes_of(graph, "PerfusionTrainConcept")
    (sampler,) = [*nodes_of(graph, "KSampler"), *nodes_of(graph, "CFGGuider")]
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
def test_a_familys_workflow_names_no_concept_or_picture_of_another_machine(title):
    """A user's first run does not fail for a file that only the machine had on which the workflow was written."""
    opened = [node for node in shipped(TITLE.format(title))["nodes"] if node["type"] in OPEN]
    assert [node["type"] for node in opened] == [*["LoadImage"] * 5, "PerfusionLoadConcept"], "about five pictures"
    assert all(node["widgets_values"] == [] for node in opened)


@pytest.mark.parametrize("title", OFFICIAL)
def test_a_familys_workflow_loads_and_sets_what_its_official_template_does(server, title):
    """A user finds the file names that they have, and pictures as that template draws them."""
    official = {template.name: template for template in templates()}
    if OFFICIAL[title] not in official:
        pytest.skip("the installed templates have none of this model")
    theirs = settings(official[OFFICIAL[title]].flat, server)
    ours = settings(shipped(TITLE.format(title)), server)
    linked = {"width", "height", "steps", "cfg", "seed"}  # where the template's own values come from another node
    for (kind, values), (other, found) in zip(theirs, ours, strict=True):
        wanted = {name: value for name, value in values.items() if name in found or name not in linked}
        assert kind == other and wanted == {name: found[name] for name in wanted}, kind
