"""What a newcomer looks for is where docs/finding.md says, and tests are named after their files."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from builders.places import ROOT
from builders.schema_snapshot import read_snapshot

NAMED = re.compile(r"`((?:[\w.]+/)+\w+\.py)` `(\w+)`")
"""A file and a name in it, as the pages write them."""
TEST_ROOMS = {
    **{f"tests/ops/{room}": f"perfusion_ops/{room}" for room in ("edit", "concept", "text", "training", "files")},
    **{f"tests/host/{room}": f"nodes/{room}" for room in ("drawing", "families", "host", "training")},
    "tests/host": "nodes",
    "tests/world": "tests/pixelworld",
    "tests/world/joint": "tests/pixelworld/joint",
    "tests/bench": "benchmarks",
    "tests/bench/proof": "benchmarks/proof",
    "tests/bench/joint": "benchmarks/joint",
}


def searches() -> list[list[tuple[str, str]]]:
    """Of each row in docs/finding.md: how it works, where a user meets it, what proves it; a file and a name each."""
    rows = (ROOT / "docs/finding.md").read_text(encoding="utf-8").splitlines()
    return [NAMED.findall(row) for row in rows if row.startswith("| ") and NAMED.search(row)]


SEARCHES = searches()


def defined_in(path: Path) -> set[str]:
    """Functions, methods and classes of a file."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    return {node.name for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, kinds)}


def test_ten_searches_lead_to_a_function_an_input_and_a_test():
    """A newcomer finds how a thing works, where a user meets it and what proves it."""
    assert [len(search) for search in SEARCHES] == [3] * 10


@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: search[0][1])
def test_a_search_ends_where_the_page_says(search):
    """No path and no name that the page gives a newcomer is out of date."""
    (works, function), (met, widget), (proof, test) = search
    assert function in defined_in(ROOT / works)
    (node,) = re.findall(r'node_id="(\w+)"', (ROOT / met).read_text(encoding="utf-8"))
    assert widget in read_snapshot()[node]["inputs"]
    assert test in defined_in(ROOT / proof)
    assert proof.startswith(f"tests/ops/{works.split('/')[1]}/test_{Path(works).stem}")


def orphans(tests: list[str], sources: set[str]) -> list[str]:
    """Tests that are named after no source file: ``test_NAME.py`` or ``test_NAME_<subject>.py``."""
    return [test for test in tests if not any(f"{test}_".startswith(f"test_{source}_") for source in sources)]


@pytest.mark.parametrize("room", TEST_ROOMS)
def test_a_test_is_named_after_the_file_it_tests(room):
    """The test of a file is found by the file's name."""
    tests = [path.stem for path in (ROOT / room).glob("test_*.py")]
    assert tests and orphans(tests, {path.stem for path in (ROOT / TEST_ROOMS[room]).glob("*.py")}) == []


def test_a_test_of_no_file_would_be_found():
    """Negative control: a test that is named after no file would be found."""
    tests = ["test_joint", "test_joint_order", "test_jointly", "test_else"]
    assert orphans(tests, {"joint"}) == ["test_jointly", "test_else"]
