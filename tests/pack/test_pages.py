"""What the pages promise a reader: short pages, links that lead somewhere."""

from __future__ import annotations

import json
import re
from itertools import groupby
from pathlib import Path

import pytest

from builders.places import ROOT

FOLDERS = ("", "benchmarks", "docs", "web/docs", "tests", "tests/pixelworld")
PAGES = [path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def lines_of(page: str) -> list[str]:
    return (ROOT / page).read_text(encoding="utf-8").splitlines()


def paragraphs(lines: list[str]) -> list[list[str]]:
    """Runs of lines of prose. Each row of a table and each point of a list is a paragraph of its own."""
    parts: list[list[str]] = []
    for blank, run in groupby(lines, key=lambda line: not line.strip()):
        for number, line in enumerate([] if blank else run):
            if number == 0 or re.match(r"\||[-*] |\d+\. |#", line):
                parts.append([])
            parts[-1].append(line)
    return parts


def test_the_readme_fits_on_two_screens():
    """A newcomer decides on two screens."""
    lines = lines_of("README.md")
    assert len(lines) <= 120
    assert [line for line in lines if len(line) > 100] == []


def test_no_paragraph_of_the_readme_is_longer_than_four_lines():
    """The README can be skimmed."""
    assert [part[0] for part in paragraphs(lines_of("README.md")) if len(part) > 4] == []


def test_a_paragraph_that_is_too_long_would_be_found():
    """Negative control: a long paragraph would be found."""
    assert max(map(len, paragraphs(["", *["words"] * 5, "", "- a", "- b"]))) == 5


def test_the_first_screen_of_the_readme_comes_in_the_order_a_newcomer_asks():
    """What it is, how to install it and the first concept come first."""
    text = "\n".join(lines_of("README.md"))
    first = ("Teach", "front.png", "## Install", "## Your first concept")
    second = ("## The nodes", "## The dials", "## What it is good at", "## Proof")
    order = [text.index(part) for part in (*first, *second)]
    assert order == sorted(order)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_link_to_a_file_leads_to_one(path):
    """No link of any page is dead."""
    targets = [target.partition("#")[0] for target in LINK.findall(path.read_text(encoding="utf-8"))]
    files = [target for target in targets if target and not target.startswith("http")]
    assert [target for target in files if not (path.parent / target).exists()] == []


PLACE = re.compile(r"`((?:nodes|perfusion_ops|tests|docs|web)/[\w/.]+\w)`")
"""A file or folder, as a page names it from the root."""


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/structure.md", "docs/concept_format.md", "docs/method.md"])
def test_every_place_a_page_names_exists(page):
    """Whoever follows a page to a file or folder finds it."""
    places = PLACE.findall("\n".join(lines_of(page)))
    assert places
    assert [place for place in places if not (ROOT / place).exists()] == []


NAMED = re.compile(r"`([\w/]+\.py)`(?: `(\w+)`)?")
"""A file, and a function, class or test in it, as the tables of method.md write them."""


def named_in_the_method() -> list[tuple[str, str]]:
    tables = [line for line in lines_of("docs/method.md") if line.startswith("|")]
    return [named for line in tables for named in NAMED.findall(line)]


@pytest.mark.parametrize("place, name", named_in_the_method())
def test_the_method_names_files_functions_and_tests_that_exist(place, name):
    """Whoever reads an equation can read its code and what proves it."""
    found = [path for path in (ROOT / folder / place for folder in ("perfusion_ops", "tests")) if path.exists()]
    assert len(found) == 1, place
    assert not name or re.search(rf"^ *(def|class) {name}\b", found[0].read_text(encoding="utf-8"), re.MULTILINE)


def test_every_row_of_the_equations_names_a_function_and_a_test():
    """No equation of the page is without its code and its proof."""
    lines = lines_of("docs/method.md")
    equations = lines[lines.index("## Equations") : lines.index("## How it works in ComfyUI")]
    rows = [line for line in equations if line.startswith("|") and not re.match(r"\| (Equation|---)", line)]
    assert len(rows) >= 20
    assert all(len([name for _, name in NAMED.findall(row) if name]) == 2 for row in rows)


def test_the_memory_of_a_training_is_what_was_counted():
    """Who reads which card trains which model reads the recorded counts, of the default layers and of all."""
    page, record = lines_of("docs/models.md"), ROOT / "benchmarks/results/full_size_joint_memory.json"
    (rows,) = json.loads(record.read_text(encoding="utf-8"))["tables"].values()
    assert len(rows) >= 48
    for half, small in zip(rows[::2], rows[1::2], strict=True):
        assert (half["weights in"], small["weights in"]) == ("bfloat16", "float8_e4m3fn")
        choice = re.fullmatch(r"(.+, \d+) layers", half["learns in"])[1]
        together = " | ".join(f"{row['together, MiB']:,}" for row in (half, small))
        held = max(row["activations at most, MiB"] for row in (half, small))
        files = f"{half['file in fp16, KB']}, {half['file in int8, KB']}"
        figures = f"{together} | {held:,} | {half['TFLOP']:g} | {files} |"
        known = [f"| {half['model']} | {bold}{choice}{bold} | {figures}" for bold in ("", "**")]
        assert small["learns in"] == half["learns in"] and set(known) & set(page), known[0]


def test_the_memory_of_a_training_with_a_learned_word_is_what_was_counted():
    """Who reads whether a card is large enough reads the recorded counts: of U-Nets on one page, else on another."""
    pages = lines_of("docs/memory.md"), lines_of("docs/models.md")
    record = ROOT / "benchmarks/results/full_size_memory.json"
    (rows,) = json.loads(record.read_text(encoding="utf-8"))["tables"].values()
    assert len(rows) >= 30
    for row in rows:
        unet, encoders, learned, held, whole = (number for name, number in row.items() if name.endswith("MiB"))
        case = [row[name] for name in ("model", "pixels", "batch", "weights in", "checkpointing")]
        line = " | ".join(map(str, [*case, unet, encoders, learned, held, whole]))
        title = row["model"].removesuffix(" 2B")
        others = " | ".join([title, *map(str, case[2:]), *(f"{number:,}" for number in (unet, encoders, held, whole))])
        assert f"| {line} |" in pages[0] or f"| {others} |" in pages[1], case


CARDS, TO_SPARE = (8, 12, 16, 24), 1536
"""GB of the cards that the page names; MiB that a step's count does not hold."""


def test_the_card_that_each_model_asks_for_follows_from_what_was_counted():
    """Who looks for their card finds every model that fits it, and none that does not."""
    page, record = lines_of("docs/models.md"), ROOT / "benchmarks/results/full_size_joint_memory.json"
    (rows,) = json.loads(record.read_text(encoding="utf-8"))["tables"].values()
    asked: dict[str, tuple[set, set]] = {f"{card} GB": (set(), set()) for card in CARDS} | {"more": (set(), set())}
    for row in rows:
        if row["learns in"].startswith("all"):
            fitting = [card for card in CARDS if row["together, MiB"] + TO_SPARE <= 1024 * card]
            names = asked[f"{fitting[0]} GB" if fitting else "more"]
            names[row["weights in"] != "bfloat16"].add(row["model"])
    for card, names in asked.items():
        (line,) = (line for line in page if line.startswith(f"| {card} | "))
        found = tuple(set(cell.split("; ")) - {"-"} for cell in line.strip("| ").split(" | ")[1:])
        assert found == names, card


def test_what_leaving_the_text_encoder_out_saves_is_what_was_counted():
    """Who chooses between the gates reads the recorded counts."""
    page, record = lines_of("docs/memory.md"), ROOT / "benchmarks/results/full_size_gate_memory.json"
    (rows,) = json.loads(record.read_text(encoding="utf-8"))["tables"].values()
    assert len(rows) == 16
    for word, position in zip(rows[::2], rows[1::2], strict=True):
        case = f"| {word['model']}, {word['pixels']}, {word['batch']} | {word['checkpointing']}"
        together, work = ([row[name] for row in (word, position)] for name in ("together, MiB", "TFLOP"))
        assert f"{case} | {together[0]:,} | {together[1]:,} | {work[0]:g} | {work[1]:g} |" in page, case


BESIDE = "tensors beside the host's, at most, MiB"


def test_the_memory_of_photographs_is_what_was_measured():
    """Who brings many photographs reads how much memory they took, connected one by one and from a folder."""
    page, found = lines_of("docs/memory.md"), []
    for part in ("photographs", "picture_folder"):
        record = ROOT / f"benchmarks/results/full_size_{part}.json"
        (rows,) = json.loads(record.read_text(encoding="utf-8"))["tables"].values()
        found += rows
    (connected, *folders) = found
    named = ("held by the host, MiB", "process, at most, before, MiB", "after, MiB")
    figures = {row.get("longest_side"): tuple(f"{row[name]:,.0f}" for name in named) for row in found}
    held, before, after = figures.pop(None)
    taken = " | ".join(str(connected[name]) for name in ("kept by training, MiB", BESIDE))
    assert f"| {held} | {taken} | {before} and {after} |" in page
    assert len(folders) == 2
    for side, (held, before, after) in figures.items():
        assert f"| {side} | {held} | {before} and {after} |" in page, side


OTHER_WORDS = re.compile(r"\blike(ness|st)\b|\bclass words?\b", re.IGNORECASE)
"""What the glossary in CONTRIBUTING calls identity and superclass."""
CODE = [path for folder in ("nodes", "perfusion_ops") for path in (ROOT / folder).rglob("*.py")]
TEXTS = sorted([*PAGES, *(ROOT / "locales").rglob("*.json"), *CODE])


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_one_thing_has_one_word(path):
    """A reader meets one word for one thing, on every page, node and message."""
    assert OTHER_WORDS.findall(path.read_text(encoding="utf-8")) == []


def test_another_word_for_a_thing_would_be_found():
    """Negative control: another word for a thing would be found."""
    assert OTHER_WORDS.search("Its likeness to a class word") and not OTHER_WORDS.search("likely of the same class")
