"""What a browser finds on the server: nodes, help pages, translations, workflows with their pictures."""

from __future__ import annotations

import json
import re
import urllib.parse

import pytest

from builders.places import ROOT
from builders.schema_snapshot import perfusion_schemas, read_snapshot
from builders.server import PACK_FOLDER
from builders.ui_workflows import FOLDER

WORKFLOWS = sorted(path.stem for path in FOLDER.glob("*.json"))


def complaints(log: str) -> list[str]:
    """Lines that say a pack was not loaded, or that name this one beside an error."""
    return [
        line
        for line in log.splitlines()
        if "IMPORT FAILED" in line
        or (PACK_FOLDER in line and ("rror" in line or "Cannot import" in line or "skipping" in line))
    ]


def test_the_pack_loads_without_a_complaint(server):
    """Installing the pack writes no error to the log.

    What the shared server wrote while it started: later on, tests provoke errors on purpose.
    """
    assert f"custom_nodes/{PACK_FOLDER}" in server.startup_log
    assert complaints(server.startup_log) == []


@pytest.mark.parametrize(
    "line",
    [
        "   0.1 seconds (IMPORT FAILED): /base/custom_nodes/ComfyUI-Perfusion",
        "Error while calling comfy_entrypoint in /base/custom_nodes/ComfyUI-Perfusion: No module named 'x'",
        "Cannot import /base/custom_nodes/ComfyUI-Perfusion module for custom nodes: invalid syntax",
        "comfy_entrypoint in /base/custom_nodes/ComfyUI-Perfusion did not return a ComfyExtension, skipping.",
    ],
)
def test_a_complaint_of_the_host_is_noticed(line):
    """Negative control: the host's complaints would be noticed."""
    assert complaints(f"Starting server\n{line}\n") == [line]


def test_the_schemas_are_the_ones_saved_workflows_rely_on(server):
    """A difference here breaks workflows that users have saved, unless it only adds at the end."""
    found, expected = perfusion_schemas(server.get("/object_info")), read_snapshot()
    assert found == expected
    for node, schema in expected.items():
        assert list(found[node]["inputs"]) == list(schema["inputs"]), node


def test_every_node_is_found_by_other_words_than_its_name(server):
    """Who searches for what they know, such as dreambooth or xy plot, would not find the pack."""
    found = {name: info for name, info in server.get("/object_info").items() if name.startswith("Perfusion")}
    if not all("search_aliases" in info for info in found.values()):
        pytest.skip("this ComfyUI has no search aliases")
    for name, info in found.items():
        aliases = set(info["search_aliases"])
        assert "perfusion" in aliases and len(aliases - {"perfusion"}) >= 2, name
        assert info["category"] == "Perfusion" and info["description"], name


@pytest.mark.parametrize("node", read_snapshot())
def test_a_help_page_opens(server, node):
    """Every node's help opens in the browser."""
    page = server.get(f"/extensions/{PACK_FOLDER}/docs/{node}.md")
    assert page == (ROOT / "web" / "docs" / f"{node}.md").read_bytes()


def test_translations_are_served(server):
    """The nodes are shown in the user's language."""
    served = server.get("/i18n")
    for language in ("en", "zh", "ja", "it", "de"):
        texts = json.loads((ROOT / f"locales/{language}/nodeDefs.json").read_text(encoding="utf-8"))
        assert texts.items() <= served[language]["nodeDefs"].items()


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_shipped_workflow_is_listed_with_its_picture(server, name):
    """The workflows are in the template browser, each with its picture."""
    assert name in server.get("/workflow_templates")[PACK_FOLDER]
    address = f"/api/workflow_templates/{PACK_FOLDER}/{urllib.parse.quote(name)}"
    assert server.get(f"{address}.json")["nodes"]
    assert server.get(f"{address}.jpg")[:2] == b"\xff\xd8"


def test_the_host_knows_the_concept_folder(server):
    """The host lists the concepts, so that other programs find them."""
    assert "perfusion" in {entry["name"] for entry in server.get("/experiment/models")}
    assert "teddy.safetensors" in server.get("/models/perfusion")


def test_the_folders_to_drop_files_in_are_there(server):
    """Who gets a concept from a friend finds the folder for it at once, as for every other kind of model."""
    assert (server.folder / "models/perfusion").is_dir() and (server.folder / "models/perfusion_import").is_dir()


def test_the_browser_names_every_family_as_the_messages_do(pack):
    """A concept's card says Flux.1, as everything else does, and not the name inside its file."""
    shown = dict(re.findall(r'^  (\w+): "(.+)",$', (ROOT / "web" / "portrait.js").read_text(encoding="utf-8"), re.M))
    assert shown == {family.name: family.title for family in pack.family.FAMILIES}
