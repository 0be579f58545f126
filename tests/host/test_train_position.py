"""Train Perfusion Concept with the position gate on the real server."""

from __future__ import annotations

import numpy as np

from builders.training_runs import STEPS, Watch, texts, trained_files, training
from builders.workflows import encode, load, mean_difference, picture, sample, show
from perfusion_ops.concept.file import load_concept


def test_a_position_gate_trains_stops_goes_on_and_draws(trainer):
    """The other gate, from pictures to a picture: no statistics, cancel and go on, a small file, and its look."""
    graph, node = training(trainer, word="placebox", steps=STEPS, gate="position", value_learning_rate=0.3)
    del graph[node]["inputs"]["statistics"]
    trainer.run(graph, Watch(node, cancel_at=4))
    watch = Watch(node)
    trainer.run(graph, watch)
    first_line = next(line for line in texts(watch.lines) if "loss" in line)
    assert int(first_line.split("/")[0]) in (5, 6)
    (file,) = trained_files(trainer, "placebox")
    concept = load_concept(file)
    assert concept.gate.value == "position" and not concept.word_embeddings and "statistics" not in concept.metadata
    before = trainer.log_text().count("have no effect")
    shown = {}
    for prompt in ("a photo of a placebox", "a photo of a box"):
        graph, preview = picture(prompt, [(f"trained/{file.name}", {"bias": 0.6})])
        shown[prompt] = trainer.pictures(trainer.run(graph), preview)
    plain, preview = picture("a photo of a box")
    np.testing.assert_array_equal(shown["a photo of a box"], trainer.pictures(trainer.run(plain), preview))
    assert mean_difference(*shown.values()) > 0.2
    assert "another text encoder" not in trainer.log_text() and trainer.log_text().count("have no effect") == before


def test_inputs_that_a_position_gate_has_no_use_for_are_told(trainer):
    """Who connects statistics or chooses a key locking with it learns that they do nothing, on both nodes."""
    graph, node = training(trainer, word="toldbox", steps=2, gate="position", key_locking="exact")
    model, clip, _ = load(graph)
    inputs = {"visual_strength": 1.0, "bias": 0.6, "temperature": 0.15, "leak_free": False, "key_locking": "exact"}
    place = {"model": model, "clip": clip, "concept": [node, 0], "start_percent": 0.0, "end_percent": 1.0}
    applied = graph.add("PerfusionApplyKeyLockedAttention", **inputs, **place)
    positive, negative = (encode(graph, applied[1], text) for text in ("a toldbox", ""))
    show(graph, sample(graph, applied[0], positive, negative), load(graph)[2])
    trainer.run(graph)
    log = trainer.log_text()
    assert "so statistics and key_locking of this node have no effect" in log
    assert "'toldbox' was trained with the gate 'position'" in log
