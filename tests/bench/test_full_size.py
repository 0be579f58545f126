"""The full-size benchmark's tables, on a tiny model: their columns, and the counts that no clock can change."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from builders.places import ROOT

pytestmark = [pytest.mark.host, pytest.mark.slow]

PARTS = (
    *("sampling", "training", "memory", "gate_memory", "first_step", "photographs", "picture_folder", "text_encoding"),
    *("load_and_apply", "growth"),
)


@pytest.fixture(scope="module")
def tables(comfyui_path, tmp_path_factory):
    """Part -> its rows, all parts of one run."""
    folder = tmp_path_factory.mktemp("full_size")
    known = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True).returncode == 0
    against = ["--against", "HEAD"] if known else []
    path = os.pathsep.join([str(ROOT / "tests"), str(ROOT)])
    subprocess.run(
        [sys.executable, "benchmarks/full_size.py", "--scale", "tiny", "--out", folder, *against],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "COMFYUI_PATH": str(comfyui_path)},
        check=True,
        timeout=1000,
    )
    return {part: json.loads((folder / f"full_size_{part}.json").read_text()) for part in PARTS}


def test_every_part_says_where_its_figures_come_from(tables):
    """Every figure can be measured again: by which command, on what."""
    for report in tables.values():
        assert {"commit", "device", "versions", "date", "command"} <= report["origin"].keys()
        assert report["origin"]["scale"] == "tiny" and report["origin"]["comfyui"]


def test_every_table_has_one_set_of_columns(tables):
    """The tables can be read side by side."""
    for report in tables.values():
        for title, rows in report["tables"].items():
            assert len({tuple(row) for row in rows}) == 1, title


def test_sampling_stands_beside_the_plain_model_a_lora_and_the_peer(tables):
    """The cost of a step is compared with what a user would run instead."""
    rows = tables["sampling"]["tables"]["A sampling step"]
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


def test_training_stands_beside_the_core_node_in_time_and_memory(tables):
    """The cost of training is compared with ComfyUI's own LoRA training."""
    found = tables["training"]["tables"]
    (step,), (memory,) = found["A training step"], found["Peak memory of training"]
    assert step["concept, s a step"] > 0 and step["core Train LoRA, s a step"] > 0
    assert memory["concept, MiB"] > 0 and memory["core Train LoRA, MiB"] > 0


def test_the_position_gate_holds_and_computes_less(tables):
    """Without the text encoder a step takes less memory and less work, with and without checkpointing."""
    rows = tables["gate_memory"]["tables"]["What a training step of either gate holds and computes, counted"]
    counted = {(row["gate"], row["checkpointing"]): row for row in rows}
    for how in ("off", "on"):
        word, position = counted["learned word", how], counted["position", how]
        for column in ("TFLOP", "networks, MiB", "activations at most, MiB", "together, MiB"):
            assert position[column] < word[column], (how, column)
        assert word["together, MiB"] >= word["networks, MiB"] + word["activations at most, MiB"]


def test_growth_is_measured_in_concepts_tokens_and_batch(tables):
    """What a further concept, a longer prompt or a larger batch costs is measured."""
    found = tables["growth"]["tables"]
    assert set(found) == {"Growth with concepts", "Growth with tokens", "Growth with batch"}
    assert {row["tokens"] for rows in found.values() for row in rows} == {77, 154, 385, 770}


def test_the_bytes_of_a_step_are_counted_and_checkpointing_holds_fewer(tables):
    """The memory of a training step is counted, and ``gradient_checkpointing`` saves some of it."""
    off, blocks, on = tables["memory"]["tables"]["What a training step holds, counted"]
    held = "activations at most, MiB"
    assert off[held] >= blocks[held] > on[held] > 0
    assert off["U-Net, MiB"] == on["U-Net, MiB"] > 0
    assert on["together, MiB"] < off["together, MiB"]


def test_photographs_are_brought_to_size_without_a_copy_of_them(tables):
    (row,) = tables["photographs"]["tables"]["Host memory of photographs"]
    beside = row["tensors beside the host's, at most, MiB"]
    assert 0 < row["kept by training, MiB"] <= beside < row["held by the host, MiB"]


def test_a_folder_of_photographs_is_held_at_the_size_asked_for(tables):
    small, large = tables["picture_folder"]["tables"]["Host memory of a folder of photographs"]
    assert 0 < small["held by the host, MiB"] <= large["held by the host, MiB"]


def test_the_weights_of_a_model_are_read_once_before_the_first_step(tables):
    readings = {row["part"]: row["readings"] for row in tables["first_step"]["tables"]["The first step"]}
    assert readings["fingerprint of the U-Net"] == 1
    assert readings["private U-Net"] == readings["private text encoders"] == 0


def test_the_first_step_is_measured_beside_an_earlier_commits(tables):
    """A claim that the first step became shorter can be tried in one run; here the last commit against today's."""
    compared = tables["first_step"]["tables"].get("The first step of HEAD and of today")
    if compared is None:
        pytest.skip("this copy has no history")
    seconds = {row["part"]: (row["before, CPU s"], row["now, CPU s"]) for row in compared}
    for part in ("statistics of 16 captions", "private U-Net", "prompts encoded", "forward and backward", "together"):
        assert min(seconds[part]) > 0, part
    assert seconds["together"][0] >= seconds["all but the statistics"][0] > seconds["prompts encoded"][0]
    listed = subprocess.run(["git", "worktree", "list"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "earlier" not in listed, "the checkout of the earlier commit was left behind"
