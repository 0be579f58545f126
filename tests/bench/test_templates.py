"""The table of official templates, of which a part is run again."""

from __future__ import annotations

import pytest

from template_parts.table import joined, page

HOST = {"ComfyUI": "1.0"}
MADE = {"commit": "new", "host": HOST}


def drawn(template: str, changed: float, family: str = "flux1", **more) -> dict:
    row = {"template": template, "family": family, "unchanged without the word": True, "changed by it": changed}
    return row | more


def not_run(template: str) -> dict:
    return {"template": template, "reason": "loads another model too"}


@pytest.fixture
def record():
    tables = {
        "drawn": [drawn("a", 1.0), drawn("gone", 1.0), drawn("lost", 1.0), drawn("(none)", 1.0, "cosmos2")],
        "trained": [drawn("a", 1.0), drawn("b", 1.0)],
        "not run": [not_run("b"), not_run("c")],
    }
    return {"origin": {"commit": "old", "host": HOST}, "tables": tables}


def test_rows_of_what_was_not_run_stay_and_say_their_commit(record):
    """Who records one template again loses no other row, and no row of a template that changed its place."""
    names = ["a", "b", "c", "lost", "(none)"]
    known = {"drawn": names, "trained": ["a"], "not run": names}
    tables = {"drawn": [drawn("b", 2.0), drawn("(none)", 3.0, "hunyuan_dit")], "not run": [not_run("lost")]}
    found = joined(record, tables, MADE, known)
    told = {title: [(row["template"], row.get("family"), row["commit"]) for row in found[title]] for title in found}
    assert told == {
        "drawn": [
            *(("a", "flux1", "old"), ("b", "flux1", "new")),
            *(("(none)", "cosmos2", "old"), ("(none)", "hunyuan_dit", "new")),
        ],
        "trained": [("a", "flux1", "old")],
        "not run": [("c", None, "old"), ("lost", None, "new")],
    }
    again = joined({"origin": MADE, "tables": found}, {"drawn": [drawn("c", 1.0)]}, {**MADE, "commit": "newer"}, known)
    assert [row["commit"] for row in again["drawn"]] == ["old", "new", "newer", "old", "new"]
    shown = page(again, HOST)
    assert "5 of 5 workflows draw" in shown and "| b | flux1 | to the bit | 2 | new |" in shown


def test_rows_of_another_host_are_not_mixed_in(record):
    """A table of two hosts would say of one what was seen on the other."""
    with pytest.raises(ValueError, match="made with ComfyUI 1.0, and this is ComfyUI 2.0.*without --only"):
        joined(record, {}, {**MADE, "host": {"ComfyUI": "2.0"}}, {"drawn": ["a"]})
