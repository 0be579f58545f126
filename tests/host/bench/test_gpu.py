"""The command for a GPU, rehearsed on a CPU: on the day a GPU is there, nothing of it is run for the first time."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from builders.places import ROOT

PARTS = ("tests marked gpu", "training, SD 1.5", "sampling, SD 1.5", "memory modes", "tests inside ComfyUI")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def rehearsed(comfyui_path, tmp_path_factory):
    """The tables and the page of one rehearsal."""
    out = tmp_path_factory.mktemp("gpu")
    path = os.pathsep.join([str(ROOT / "tests"), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "COMFYUI_PATH": str(comfyui_path)}
    command = [sys.executable, "benchmarks/gpu.py", "--rehearse", "--out", out]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    return json.loads((out / "gpu.json").read_text())["tables"], (out / "gpu.md").read_text()


def test_every_part_ends_and_finds_rows(rehearsed):
    tables, _ = rehearsed
    assert tuple(row["part"] for row in tables["parts"]) == PARTS
    assert all(row["ended"] == "finished" and row["rows"] for row in tables["parts"])


def test_the_page_shows_every_part_and_says_that_it_is_a_rehearsal(rehearsed):
    _, page = rehearsed
    assert "A rehearsal on a CPU" in page
    for part in PARTS:
        assert f"## {part[0].upper()}{part[1:]}\n\n| " in page


def test_training_stands_beside_the_core_node_with_its_time_and_what_lives(rehearsed):
    rows = rehearsed[0]["training, SD 1.5"]
    assert [row["training"] for row in rows] == ["concept", "core Train LoRA, rank 8"]
    for row in rows:
        assert row["ended"] == "finished" and row["s a step"] > 0 and row["live between steps, MiB"] > 0
        assert row["torch peak, MiB"] == "not measured"


def test_servers_draw_train_and_draw_the_same_again(rehearsed):
    rows = [row for row in rehearsed[0]["memory modes"] if row["ended"] == "finished"]
    assert len(rows) == 2
    for row in rows:
        assert row["edited differs from plain, grey levels"] > 1 and row["s a step"] > 0
        assert row["edited repeats to the bit"] and row["edited after training, the same"]
        assert row["prompt without the concept stays plain to the bit"]


def test_a_mode_that_the_rehearsal_leaves_out_is_not_measured(rehearsed):
    row = next(row for row in rehearsed[0]["memory modes"] if row["server"] == "--novram")
    assert row["ended"] == "left out of the rehearsal" and row["edited repeats to the bit"] == "not measured"


def test_the_tests_of_the_host_ran_and_none_failed(rehearsed):
    (row,) = rehearsed[0]["tests inside ComfyUI"]
    assert row["passed"] > 0 and row["failed"] == 0
