"""The table of what is shown, family by family: every cell says something, and every test that it names is there."""

from __future__ import annotations

import re

from builders.places import ROOT

PAGE = ROOT / "docs/models.md"
HEADING = "## What is shown, family by family"


def tables() -> list[list[list[str]]]:
    """Rows of cells, without the lines of dashes."""
    section = PAGE.read_text(encoding="utf-8").split(HEADING)[1].split("\n## ")[0]
    found = re.findall(r"(?:^\|[^\n]*\n)+", section, re.MULTILINE)
    rows = [[[cell.strip() for cell in line.strip("|").split("|")] for line in each.splitlines()] for each in found]
    return [[row for row in table if set("".join(row)) - set("- ")] for table in rows]


def test_every_cell_names_a_test_that_is_there_or_says_that_there_is_none():
    """Who asks whether something was tried with a model finds the test, not an empty cell or a file long gone."""
    legend, matrix = tables()
    letters = {row[n].strip("`"): row[n + 1] for row in legend[1:] for n in (0, 2) if row[n]}
    assert len(letters) > 10 and len(matrix) > 20
    files = [name for text in letters.values() for name in re.findall(r"`((?:host/|test_)[^`]*\.py)`", text)]
    cells = [cell for row in matrix[1:] for cell in row[1:]]
    files += [name for cell in cells for name in re.findall(r"`(test_[^`]*\.py)`", cell)]
    assert all(list((ROOT / "tests").glob(name)) or list((ROOT / "tests/host").glob(f"*/{name}")) for name in files)
    assert {len(row) for row in matrix} == {12} and all(all(row) for row in matrix)
    plain = [re.sub(r"\([^)]*\)|`[^`]*`|\[[^]]*\]|: the \S* ?learns subjects", "", cell) for cell in cells]
    known = {*letters, "h", "*no*", "-", ""}
    assert {part.strip() for cell in plain for part in cell.split(",")} <= known
