"""What a browser finds: nodes and their texts, help pages, translations, shipped workflows."""

from __future__ import annotations

import json
import urllib.parse

import pytest
from PIL import Image

from host.server import PACK_FOLDER, ROOT
from host.ui_workflows import FOLDER, NOTES, definition, shipped, to_api, widget_inputs

NODES = {
    "PerfusionTrainConcept": "Train Perfusion Concept",
    "PerfusionLoadConcept": "Load Perfusion Concept",
    "PerfusionSaveConcept": "Save Perfusion Concept",
    "PerfusionApplyKeyLockedAttention": "Apply Key-Locked Attention",
    "PerfusionTextStatistics": "Perfusion Text Statistics",
}
WORKFLOWS = sorted(path.stem for path in FOLDER.glob("*.json"))


def test_the_pack_loads_without_a_complaint(server):
    log = server.log_text()
    assert "IMPORT FAILED" not in log
    assert not [line for line in log.splitlines() if "rror" in line and "erfusion" in line and "custom_nodes" in line]


@pytest.mark.parametrize("node", NODES)
def test_every_input_and_output_explains_itself(server, node):
    found = definition(server, node)
    assert found["display_name"] == NODES[node] and found["description"]
    for group in found["input"].values():
        for name, specification in group.items():
            assert len(specification[1]["tooltip"]) > 10, name
    assert all(len(tooltip) > 10 for tooltip in found["output_tooltips"])


@pytest.mark.parametrize("node", NODES)
def test_every_node_has_a_help_page_the_browser_can_open(server, node):
    page = server.get(f"/extensions/{PACK_FOLDER}/docs/{node}.md").decode()
    assert page.startswith(f"# {NODES[node]}")
    for name, _ in widget_inputs(definition(server, node)):
        named = any(name in cell for cell in page.replace("`", "").split("|")) or "|" not in page
        assert named, name


@pytest.mark.parametrize("language", ["en", "zh"])
def test_translations_cover_exactly_what_the_nodes_have(server, language):
    texts = json.loads((ROOT / f"locales/{language}/nodeDefs.json").read_text())
    assert set(texts) == set(NODES)
    for node, text in texts.items():
        found = definition(server, node)
        names = [name for group in found["input"].values() for name in group]
        assert set(text["inputs"]) == set(names) - {"prompt", "extra_pnginfo"}
        assert len(text["outputs"]) == len(found["output"])
        if language == "en":
            specifications = {name: spec[1] for group in found["input"].values() for name, spec in group.items()}
            assert text["display_name"] == found["display_name"]
            assert {name: entry["tooltip"] for name, entry in text["inputs"].items()} == {
                name: specifications[name]["tooltip"] for name in text["inputs"]
            }


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_shipped_workflow_fits_the_nodes_it_names(server, name):
    """Slots in order, links that meet, widget values that the node accepts: what the browser would warn about."""
    workflow = shipped(name)
    links = {link[0]: link for link in workflow["links"]}
    for node in workflow["nodes"]:
        if node["type"] in NOTES:
            continue
        found = definition(server, node["type"])
        every = {key: spec for group in found["input"].values() for key, spec in group.items()}
        for entry in node["inputs"]:
            assert entry["type"] == every[entry["name"]][0]
            if entry["link"] is not None:
                assert links[entry["link"]][3:] == [node["id"], node["inputs"].index(entry), entry["type"]]
        assert [output["type"] for output in node["outputs"]] == found["output"]
    values = to_api(workflow, server)
    for node in values.values():
        for key, spec in widget_inputs(definition(server, node["class_type"])):
            value = node["inputs"][key]
            if spec[0] in ("INT", "FLOAT") and not isinstance(value, list):
                assert spec[1]["min"] <= value <= spec[1]["max"], (node["class_type"], key)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_shipped_workflow_is_listed_with_its_picture(server, name):
    assert name in server.get("/workflow_templates")[PACK_FOLDER]
    address = f"/api/workflow_templates/{PACK_FOLDER}/{urllib.parse.quote(name)}"
    assert server.get(f"{address}.json")["nodes"]
    assert server.get(f"{address}.jpg")[:2] == b"\xff\xd8"
    assert Image.open(FOLDER / f"{name}.jpg").size[0] >= 256


def test_the_host_knows_the_concept_folder(server):
    assert "perfusion" in {entry["name"] for entry in server.get("/experiment/models")}
    assert "teddy.safetensors" in server.get("/models/perfusion")
