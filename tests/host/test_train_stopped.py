"""A training that is cancelled or killed on the real server: nothing is lost, and queueing again goes on."""

from __future__ import annotations

import re

import pytest
from websocket import WebSocketException

from builders.server import Server
from builders.training_runs import STEPS, Watch, texts, trained_files, training
from builders.workflows import training_pictures
from perfusion_ops.concept.file import load_concept


def test_cancel_acts_within_a_step_keeps_what_is_trained_and_the_queue_goes_on(trainer):
    """Cancel stops at once, keeps the concept so far, and queueing again goes on from there."""
    graph, node = training(trainer, word="cancelbox", steps=STEPS)
    watch = Watch(node, cancel_at=4)
    result = trainer.run(graph, watch)
    assert result.interrupted and max(watch.steps) <= 5
    kept = [file.name for file in trained_files(trainer, "cancelbox")]
    assert re.fullmatch(r"cancelbox_\w{12}_step[45]\.safetensors", kept[0])
    assert "Queue again to go on" in texts(watch.lines)[-1]
    resumed = Watch(node)
    trainer.run(graph, resumed)
    first_line = next(line for line in texts(resumed.lines) if "loss" in line)
    assert int(first_line.split("/")[0]) in (5, 6)
    (file,) = trained_files(trainer, "cancelbox")
    uninterrupted, _ = training(trainer, word="cancelbox", steps=STEPS, seed=0, micro_batch=2)
    assert load_concept(file).word == "cancelbox" and uninterrupted == graph


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_concept_of_an_uninterrupted_one(comfyui_path, host_folder, trainer):
    """A crash costs some steps and never the training.

    Cancelled at step 5, which leaves a checkpoint; gone on with and killed at step 8; gone on with from step 5.
    """
    graph, node = training(trainer, word="killbox", steps=STEPS)
    trainer.run(graph)
    (whole,) = trained_files(trainer, "killbox")
    folder = host_folder()
    training_pictures(folder)

    def kill_at_step_8(server: Server, event: dict) -> None:
        if event["type"] == "progress" and event["data"]["node"] == node and event["data"]["value"] >= 8:
            server.kill()

    with Server(comfyui_path, folder) as server:
        server.run(graph, Watch(node, cancel_at=5))
        with pytest.raises((OSError, WebSocketException)):
            server.run(graph, kill_at_step_8)
        assert not any("_step" not in file.name for file in trained_files(server, "killbox"))
    with Server(comfyui_path, folder) as server:
        watch = Watch(node)
        server.run(graph, watch)
        (resumed,) = trained_files(server, "killbox")
    first_line = next(line for line in texts(watch.lines) if "loss" in line)
    assert int(first_line.split("/")[0]) in (6, 7)
    assert resumed.read_bytes() == whole.read_bytes()
