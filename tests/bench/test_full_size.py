"""The full-size benchmark's tables, on a tiny model: their columns, and the counts that no clock can change."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from builders.places import ROOT

pytestmark = [pytest.mark.host, pytest.mark.slow]

PARTS = ("sampling", "once_per_prompt", "training", "text_encoding", "load_and_apply", "files", "growth", "two_servers")


@pytest.fixture(scope="module")
def tables(comfyui_path, tmp_path_factory):
    """Part -> its rows, all parts of one run."""
    folder = tmp_path_factory.mktemp("full_size")
    path = os.pathsep.join([str(ROOT / "tests"), str(ROOT)])
    subprocess.run(
        [sys.executable, "benchmarks/bench_full_size.py", "--scale", "tiny", "--out", folder],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "COMFYUI_PATH": str(comfyui_path)},
        check=True,
        timeout=1000,
    )
    return {part: json.loads((folder / f"{part}.json").read_text()) for part in PARTS}


def test_every_part_says_where_its_figures_come_from(tables):
    for report in tables.values():
        assert {"commit", "device", "versions", "date", "command"} <= report["origin"].keys()
        assert report["scale"] == "tiny" and report["comfyui"]


def test_every_table_has_one_set_of_columns(tables):
    for report in tables.values():
        for title in {row["table"] for row in report["rows"]}:
            columns = {tuple(row) for row in report["rows"] if row["table"] == title}
            assert len(columns) == 1, title


def test_sampling_stands_beside_the_plain_model_a_lora_and_the_peer(tables):
    rows = [row for row in tables["sampling"]["rows"] if row["table"] == "A sampling step"]
    assert [row["with"] for row in rows] == [
        "plain",
        "plain, again",
        "1 concept",
        "2 concepts",
        "one LoRA, rank 8",
        "perfusion-pytorch, 1 concept",
    ]
    assert rows[0]["x plain"] == 1
    assert all(row["ms a step"] > 0 for row in rows)


def test_gates_and_contexts_are_computed_once_per_prompt_and_deltas_once_per_layer_and_step(tables):
    rows = tables["once_per_prompt"]["rows"]
    assert {row["what"]: row["calls"] for row in rows} == {row["what"]: row["expected"] for row in rows}
    assert next(row for row in rows if row["what"] == "the add")["calls"] == 7 * rows[0]["steps"]


def test_training_stands_beside_the_core_node_in_time_and_memory(tables):
    step, memory = tables["training"]["rows"]
    assert step["concept, s a step"] > 0 and step["core Train LoRA, s a step"] > 0
    assert memory["concept, MiB"] > 0 and memory["core Train LoRA, MiB"] > 0


def test_concept_files_stay_below_their_goals(tables):
    rows = [row for row in tables["files"]["rows"] if row["table"] == "Concept files"]
    goals = {(row["model"], row["precision"]): row for row in rows if row["goal, at most"] != "none"}
    assert set(goals) == {("SD 1.5", "fp16"), ("SD 2.1", "fp16"), ("SDXL", "int8")}
    assert all(row["bytes"] <= row["goal, at most"] for row in goals.values())
    assert {row["model"]: (row["layers"], row["value outputs"]) for row in rows} == {
        "SD 1.5": (16, 12480),
        "SD 2.1": (16, 12480),
        "SDXL": (70, 83200),
    }


def test_growth_is_measured_in_concepts_tokens_and_batch(tables):
    rows = tables["growth"]["rows"]
    assert {row["table"] for row in rows} == {"Growth with concepts", "Growth with tokens", "Growth with batch"}
    assert {row["tokens"] for row in rows} == {77, 154, 385, 770}
