"""What the browser shows of the pack: help pages, translations and example workflows, against the nodes' schemas."""

from __future__ import annotations

import ast
import json
import re
from functools import cache

import pytest
from PIL import Image

from builders.family_workflows import RECIPES, TITLE
from builders.places import ROOT
from builders.schema_snapshot import read_snapshot

SCHEMAS = read_snapshot()
LANGUAGES = ("en", "zh", "ja", "it", "de")
WORKFLOWS = sorted((ROOT / "example_workflows").glob("*.json"))
SPECIAL = re.compile(r"[{}@|$]")
"""What the frontend's translator takes for its own syntax."""


def translations(language: str) -> dict:
    return json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))


def page(node: str) -> str:
    return (ROOT / "web" / "docs" / f"{node}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_node_input_and_output_is_translated_and_nothing_else_is(language):
    """No input is shown by its code name in any of the languages."""
    found = translations(language)
    assert list(found) == list(SCHEMAS)
    for node, schema in SCHEMAS.items():
        assert list(found[node]["inputs"]) == list(schema["inputs"]), node
        assert list(found[node]["outputs"]) == [str(index) for index in range(len(schema["outputs"]))], node
        for entry in (*found[node]["inputs"].values(), *found[node]["outputs"].values()):
            assert entry["name"] and entry["tooltip"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_translation_holds_what_the_translator_would_take_for_its_own(language):
    """No text arrives cut or garbled in the browser."""
    assert not SPECIAL.search("".join(texts_of(translations(language))))


def texts_of(entry: dict | str) -> list[str]:
    return [entry] if isinstance(entry, str) else [text for value in entry.values() for text in texts_of(value)]


def test_english_says_what_the_schema_says():
    """The English tooltips are those of the nodes themselves."""
    english = translations("en")
    for node, schema in SCHEMAS.items():
        assert english[node]["display_name"] == schema["display_name"]
        assert english[node]["description"] == schema["description"]
        pairs = [(english[node]["inputs"][key]["tooltip"], entry["tooltip"]) for key, entry in schema["inputs"].items()]
        pairs += [
            (english[node]["outputs"][str(index)]["tooltip"], entry["tooltip"])
            for index, entry in enumerate(schema["outputs"])
        ]
        for translated, tooltip in pairs:
            assert translated == tooltip.replace("{}", "a pair of braces")


BRACES = ("braces", "花括号", "波括弧", "graffe", "Klammern")
"""The word for braces in each of the languages."""
SETTING = re.compile(rf"\d+(?:[.,]\d+| 000)*|[a-z]+\d+|{'|'.join(BRACES)}|LoRA|SDXL")
"""What every language must name alike: numbers, precisions, the braces that stand for the subject."""


def settings_in(text: str) -> list[str]:
    """The settings in English; thousands may stand apart by a comma or, where a comma means a fraction, by a space."""
    found = {setting.replace(" 000", ",000") for setting in SETTING.findall(text)}
    return sorted("braces" if setting in BRACES else setting for setting in found)


def test_every_language_names_the_same_numbers_and_places():
    """A user reads the same limits and defaults in every language."""
    english, *others = (translations(language) for language in LANGUAGES)
    for found in others:
        for ours, theirs in zip(texts_of(english), texts_of(found), strict=True):
            assert settings_in(ours) == settings_in(theirs), (ours, theirs)


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_input_has_one_name_in_a_language(language):
    """Who finds bias on one node would not find it by that name on the next."""
    names: dict[str, set[str]] = {}
    for entry in translations(language).values():
        for key, shown_as in entry["inputs"].items():
            names.setdefault(key, set()).add(shown_as["name"])
    assert {key: found for key, found in names.items() if len(found) > 1} == {}


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_a_tooltip_calls_other_inputs_as_they_are_shown(language):
    """A tooltip would send its reader to an input by a code name that is nowhere on the node. Choices keep theirs."""
    inputs = {key for schema in SCHEMAS.values() for key in schema["inputs"] if "_" in key}
    for node, entry in translations(language).items():
        known = [option for schema in SCHEMAS[node]["inputs"].values() for option in schema.get("options", ())]
        for text in texts_of(entry):
            assert inputs & set(re.findall(r"[a-z]+(?:_[a-z]+)+", text)) <= set(known), (node, text)


def test_a_translation_with_another_number_would_be_found():
    """Negative control: a translation with another number would be found."""
    assert settings_in("from 0.6 to 0.75, {}") != settings_in("0.6 到 0.7")


def test_every_input_and_output_has_a_tooltip():
    """Every input and output says what it is for."""
    for schema in SCHEMAS.values():
        assert all(entry["tooltip"] for entry in (*schema["inputs"].values(), *schema["outputs"]))


def test_there_is_a_help_page_for_every_node_and_for_no_other():
    """Every node has its help."""
    assert {path.stem for path in (ROOT / "web" / "docs").glob("*.md")} == set(SCHEMAS)


@pytest.mark.parametrize("node", SCHEMAS)
def test_a_help_page_names_every_input_and_output_and_its_default(node):
    """The help explains every input, with the default that the node has."""
    text, schema = page(node), SCHEMAS[node]
    assert text.startswith(f"# {schema['display_name']}\n")
    for key in (*schema["inputs"], *(output["name"] for output in schema["outputs"])):
        assert re.search(rf"\b{key}\b", text), key
    for key, default in defaults_on(text):
        assert default == shown(schema["inputs"][key].get("default")), key


def defaults_on(text: str) -> list[tuple[str, str]]:
    """Input and default of every row in the tables that have a column for it."""
    tables = re.findall(r"^\| Input \| Default \|.*\n\|[- |]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    rows = [[cell.strip() for cell in row.split("|")[1:3]] for table in tables for row in table.splitlines()]
    return [(key, default) for key, default in rows]


def shown(default: str | bool | float | None) -> str:
    """A default as a help page writes it; an input without one is to be connected."""
    if default is None:
        return ""
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, str):
        return default or "empty"
    return f"{default:g}"


def quoted_messages() -> list[tuple[str, str]]:
    """Every error message that a help page explains. Rows in italics describe what has other words."""
    rows = [(node, row) for node in SCHEMAS for row in page(node).partition("| Message | What to do |")[2].splitlines()]
    messages = [(node, row.split("|")[1].strip()) for node, row in rows if row.startswith("| ") and "---" not in row]
    return [(node, message) for node, message in messages if not message.startswith("*")]


@cache
def messages_in_code() -> str:
    """All strings of the pack, with … for every value that is put in."""
    texts = []
    for folder in ("nodes", "perfusion_ops"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
                    texts.append("".join(parts))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    texts.append(node.value)
    return "\n".join(texts)


@pytest.mark.parametrize("node, message", quoted_messages())
def test_an_explained_message_is_one_the_pack_gives(node, message):
    """A message that the help explains is worded as the user sees it."""
    code = messages_in_code()
    for fragment in message.split("…"):
        assert fragment.strip() in code, f"{node}: {message}"


SCRIPTS = sorted((ROOT / "web").rglob("*.js"))
FRONTEND = {"../../scripts/app.js", "../../scripts/api.js"}
"""The two modules that the frontend promises to extensions."""
DECLARATION = re.compile(r"(import|export|const|let|function|async function|/\*\*| \*|//|[})\]]|$)")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_small_and_needs_nothing_but_its_neighbours_and_the_frontend(path):
    """The browser loads nothing from elsewhere, and the pack goes on working when the frontend moves its insides."""
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 200
    imported = set(re.findall(r"""from "([^"]+)\"""", text))
    assert imported <= FRONTEND | {f"./{script.name}" for script in SCRIPTS}
    addresses = set(re.findall(r"https?://[^\s\"']+", text))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"\b(eval|Function)\(|innerHTML|document\.write|\.prototype\b", text)


@pytest.mark.parametrize("path", [path for path in SCRIPTS if path.name != "perfusion.js"], ids=lambda path: path.name)
def test_a_helper_script_only_declares(path):
    """The frontend runs every script of the pack as the page loads: one of them acts, and the others wait."""
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not DECLARATION.match(line) and not line.startswith(" ")] == []


def scripts_text() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in SCRIPTS)


def shown_texts(language: str) -> dict[str, str]:
    return json.loads((ROOT / "locales" / language / "main.json").read_text(encoding="utf-8"))["perfusion"]


def test_every_text_of_the_scripts_is_in_every_language_and_no_other():
    """No key is shown in place of a sentence, in any of the languages."""
    languages = [path.parent.name for path in (ROOT / "locales").glob("*/nodeDefs.json")]
    keys = shown_texts("en")
    code = scripts_text()
    asked = set(re.findall(r"""\btext\("(\w+)\"""", code)) | set(re.findall(r"""\["(\w+)", \{""", code))
    asked |= set(re.findall(r"""place\(\d, "(\w+)"\)""", code)) | {"wordNamed", "wordMissing"}
    assert asked == set(keys)
    places = {key: sorted(re.findall(r"\{\w+\}", sentence)) for key, sentence in keys.items()}
    for language in languages:
        found = shown_texts(language)
        assert {key: sorted(re.findall(r"\{\w+\}", sentence)) for key, sentence in found.items()} == places, language


def test_every_class_that_the_scripts_use_is_styled():
    """No part of a display is left without its look."""
    styles = set(re.findall(r"\.(perfusion-\w+)", (ROOT / "web" / "perfusion.css").read_text(encoding="utf-8")))
    used = set(re.findall(r"\bperfusion-\w+", scripts_text()))
    assert used - styles <= {"perfusion-tile"} and styles <= used


def test_the_workflows_of_the_template_browser_are_there():
    """The workflows that the pages name are shipped, and one for each family beside Stable Diffusion."""
    names = {path.stem for path in WORKFLOWS}
    assert {"Train a Perfusion concept", "Two concepts in one picture", "Use a Perfusion concept"} <= names
    assert "Two concepts in two regions" in names
    assert {"Sweep a Perfusion concept", "Evaluate a Perfusion concept"} <= names
    assert {TITLE.format(title) for title in RECIPES} <= names


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_has_a_thumbnail_of_its_name(path):
    """Every workflow is shown with a picture, large enough and quick to load."""
    with Image.open(path.with_suffix(".jpg")) as thumbnail:
        assert thumbnail.format == "JPEG"
        assert min(thumbnail.size) >= 256
    assert path.with_suffix(".jpg").stat().st_size < 200_000


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_links_join_outputs_and_inputs_of_one_type(path):
    """A shipped workflow has no broken wire."""
    workflow = json.loads(path.read_text(encoding="utf-8"))
    nodes = {node["id"]: node for node in workflow["nodes"]}
    for link, origin, slot, target, place, kind in workflow["links"]:
        assert link in nodes[origin]["outputs"][slot]["links"]
        assert nodes[target]["inputs"][place]["link"] == link
        types = {kind, nodes[origin]["outputs"][slot]["type"], nodes[target]["inputs"][place]["type"]}
        assert len(types - {"*"}) <= 1, types


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_tells_nothing_of_the_machine_it_was_made_on(path):
    """A shipped workflow holds no path or address of its author."""
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"/home|/root|/tmp|/Users|https?://", text)
