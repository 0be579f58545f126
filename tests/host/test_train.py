"""Train Perfusion Concept on the real server: from pictures to a concept, cancelled, killed and reused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from websocket import WebSocketException

from builders.server import Server
from builders.workflows import (
    Workflow,
    encode,
    image_list,
    load,
    mean_difference,
    picture,
    sample,
    show,
    train,
    training_pictures,
)
from perfusion_ops.concept.file import load_concept

STEPS = 12


@pytest.fixture(scope="module")
def host(comfyui_path, host_folder):
    """A server of its own with training pictures and measured statistics."""
    folder = host_folder()
    with Server(comfyui_path, folder) as server:
        server.shots = training_pictures(folder)
        yield server


def training(server: Server, **settings) -> tuple[Workflow, str]:
    """A workflow that trains on two pictures of different sizes; the Train node's id."""
    graph = Workflow()
    node = train(graph, image_list(graph, *server.shots[:2]), load(graph), **settings)
    graph.add("PreviewAny", source=node[2])
    return graph, node.name


def trained_files(server: Server, word: str) -> list[Path]:
    return sorted((server.folder / "output/perfusion/trained").glob(f"{word}_*.safetensors"))


def texts(collected: list[bytes]) -> list[str]:
    """The lines a node showed, from binary messages."""
    found = []
    for data in collected:
        length = int.from_bytes(data[:4], "big")
        found.append(data[4 + length :].decode(errors="replace"))
    return found


class Watch:
    """Collects progress texts, preview pictures and steps; interrupts after ``cancel_at`` steps."""

    def __init__(self, node: str, cancel_at: int | None = None) -> None:
        self.node, self.cancel_at = node, cancel_at
        self.lines: list[bytes] = []
        self.previews = 0
        self.steps: list[int] = []

    def __call__(self, server: Server, event: dict) -> None:
        if event["type"] == "binary":
            kind = event["data"]["kind"]
            if kind == 3:
                self.lines.append(event["data"]["bytes"])
            elif kind in (1, 4):
                self.previews += 1
        if event["type"] == "progress" and event["data"]["node"] == self.node:
            self.steps.append(event["data"]["value"])
            if event["data"]["value"] == self.cancel_at and event["data"]["max"] == STEPS:
                server.interrupt()


def test_training_shows_its_progress_and_leaves_a_concept_that_changes_pictures(host, comfyui_path):
    """The node does its work: pictures in, a concept out, with its progress on the node."""
    plain = picture("a photo of a box", steps=2)
    before = host.pictures(host.run(plain[0]), plain[1])
    graph, node = training(host, word="redbox", steps=STEPS, preview_every=6, value_learning_rate=0.3)
    watch = Watch(node)
    result = host.run(graph, watch)
    lines = texts(watch.lines)
    assert re.fullmatch(r"12/12 · loss \d\.\d{4} · .*s.* · 00:00:00 left", lines[-1])
    assert watch.previews >= 2
    assert len(result.outputs[node]["images"]) == 1
    (file,) = trained_files(host, "redbox")
    concept = load_concept(file)
    assert concept.word == "redbox" and concept.superclass == "box" and concept.base_family == "sd1"
    losses = json.loads(file.with_suffix(".losses.json").read_text())
    assert len(losses) == STEPS and all(np.isfinite(losses))
    after = host.pictures(host.run(picture("a photo of a box", steps=2)[0]), plain[1])
    np.testing.assert_array_equal(after, before)
    graph, shown = picture("a photo of a redbox", [(f"trained/{file.name}", {})])
    assert mean_difference(host.pictures(host.run(graph), shown), before) > 0.2
    assert "another text encoder" not in host.log_text()


def test_the_loss_falls(host):
    """Training in ComfyUI learns.

    Beside a training that learns nothing from the same draws: what a step draws does not depend on the rates.
    """
    losses = {}
    for word, rate in (("learnbox", 0.3), ("idlebox", 0.0)):
        rates = {"value_learning_rate": rate, "word_learning_rate": rate / 10}
        graph, _ = training(host, word=word, steps=STEPS, **rates)
        host.run(graph)
        (file,) = trained_files(host, word)
        losses[word] = np.array(json.loads(file.with_suffix(".losses.json").read_text()))
    assert losses["learnbox"][0] == losses["idlebox"][0]
    assert losses["learnbox"][6:].mean() < losses["idlebox"][6:].mean()


def test_the_plain_workflow_after_training_is_that_of_a_fresh_server(host, comfyui_path, host_folder):
    """A training leaves nothing behind that changes later pictures."""
    graph, node = picture("a photo of a dog", seed=77)
    after = host.pictures(host.run(graph), node)
    with Server(comfyui_path, host_folder(), pack=False) as fresh:
        np.testing.assert_array_equal(after, fresh.pictures(fresh.run(graph), node))


def test_two_trainings_alternating_with_another_workflow_train_once_each(host):
    """Queueing again does not train again.

    What runs between them empties the host's cache, and another micro-batch would miss it anyway.
    """
    drawing, _ = picture("a photo of a box", steps=1)
    words = ("oncebox", "otherbox")
    for word in words:
        graph, node = training(host, word=word, steps=3)
        watch = Watch(node)
        host.run(graph, watch)
        assert not any("Reused" in line for line in texts(watch.lines))
        host.run(drawing)
    written = {file: file.stat().st_mtime_ns for word in words for file in trained_files(host, word)}
    assert len(written) == 2
    for word in words:
        graph, node = training(host, word=word, steps=3, micro_batch=1)
        watch = Watch(node)
        told = host.run(graph, watch).events_of("perfusion.told")
        assert "Reused" in texts(watch.lines)[-1] == told[-1]["text"]
        host.run(drawing)
    assert written == {file: file.stat().st_mtime_ns for word in words for file in trained_files(host, word)}


def test_cancel_acts_within_a_step_keeps_what_is_trained_and_the_queue_goes_on(host):
    """Cancel stops at once, keeps the concept so far, and queueing again goes on from there."""
    graph, node = training(host, word="cancelbox", steps=STEPS)
    watch = Watch(node, cancel_at=4)
    result = host.run(graph, watch)
    assert result.interrupted and max(watch.steps) <= 5
    kept = [file.name for file in trained_files(host, "cancelbox")]
    assert re.fullmatch(r"cancelbox_\w{12}_step[45]\.safetensors", kept[0])
    assert "Queue again to go on" in texts(watch.lines)[-1]
    resumed = Watch(node)
    host.run(graph, resumed)
    first_line = next(line for line in texts(resumed.lines) if "loss" in line)
    assert int(first_line.split("/")[0]) in (5, 6)
    (file,) = trained_files(host, "cancelbox")
    uninterrupted, _ = training(host, word="cancelbox", steps=STEPS, seed=0, micro_batch=2)
    assert load_concept(file).word == "cancelbox" and uninterrupted == graph


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_concept_of_an_uninterrupted_one(comfyui_path, host_folder, host):
    """A crash costs some steps and never the training.

    Cancelled at step 5, which leaves a checkpoint; gone on with and killed at step 8; gone on with from step 5.
    """
    graph, node = training(host, word="killbox", steps=STEPS)
    host.run(graph)
    (whole,) = trained_files(host, "killbox")
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


def test_clip_skip_of_the_training_is_expected_of_every_prompt_that_names_the_concept(host):
    """Who trains with CLIP Set Last Layer and draws without it is told; where it stands does not matter."""
    graph = Workflow()
    model, clip, vae = load(graph)

    def skipping(clip):
        return graph.add("CLIPSetLastLayer", clip=clip, stop_at_clip_layer=-2)[0]

    node = train(graph, image_list(graph, *host.shots[:2]), (model, skipping(clip), vae), word="skipbox", steps=2)
    settings = {"temperature": 0.15, "key_locking": "local", "leak_free": False, "visual_strength": 1.0}
    settings |= {"model": model, "concept": node[0], "start_percent": 0.0, "end_percent": 1.0}
    # Of nodes with the same inputs ComfyUI runs one.
    clips = ((skipping(clip), 0.6), (clip, 0.61), (clip, 0.62))
    kind = "PerfusionApplyKeyLockedAttention"
    before, behind, without = (graph.add(kind, clip=given, bias=bias, **settings) for given, bias in clips)
    for read in (before[1], skipping(behind[1]), without[1]):
        graph.add("PreviewAny", source=encode(graph, read, "a skipbox"))
    (warning,) = host.run(graph).events_of("perfusion.warning")
    assert warning["node"] == without.name
    assert "on layer -2 of the text encoder, and a prompt that names it is encoded on layer -1" in warning["text"]
    (file,) = trained_files(host, "skipbox")
    assert load_concept(file).metadata["last_layer"] == "-2"


def test_a_trained_concept_saves_loads_and_applies_in_one_workflow(host):
    """Train, Save and Apply can be wired into one workflow and queued once."""
    graph = Workflow()
    model, clip, vae = load(graph)
    node = train(graph, image_list(graph, *host.shots[:2]), (model, clip, vae), word="wirebox", steps=3)
    first = graph.add("LoadImage", image=host.shots[0])[0]
    settings = {"filename": "boxes/wire", "precision": "fp16", "overwrite": True}
    saved = graph.add("PerfusionSaveConcept", concept=node[0], thumbnail=first, **settings)
    applied = graph.add(
        "PerfusionApplyKeyLockedAttention",
        model=model,
        clip=clip,
        concept=node[0],
        visual_strength=1.0,
        bias=0.6,
        temperature=0.15,
        key_locking="local",
        leak_free=False,
        start_percent=0.0,
        end_percent=1.0,
    )
    positive, negative = (encode(graph, applied[1], text) for text in ("a photo of a wirebox", ""))
    node = show(graph, sample(graph, applied[0], positive, negative), vae)
    result = host.run(graph)
    assert "last_layer" not in load_concept(trained_files(host, "wirebox")[0]).metadata
    assert "boxes/wire.safetensors" in result.outputs[saved.name]["text"][0]
    assert host.pictures(result, node).shape[-1] == 3
    file = host.folder / "output/perfusion/boxes/wire.safetensors"
    assert file.stat().st_size < 32_768 and file.with_suffix(".jpg").exists()
    listed = host.get("/object_info/PerfusionLoadConcept")["PerfusionLoadConcept"]["input"]["required"]["concept"]
    assert "boxes/wire.safetensors" in json.dumps(listed)


@pytest.mark.parametrize("how", ["alpha", None])
def test_one_picture_and_pictures_with_alpha_train(host, how):
    """One picture is enough, and PNG files with transparency need no other node."""
    graph = Workflow()
    pixels = graph.add("LoadImage", image=host.shots[0])[0]
    if how is not None:
        pixels = graph.add("HelperSpoil", image=pixels, how=how)[0]
    word = f"onebox_{how}"
    train(graph, pixels, load(graph), word=word, steps=2)
    host.run(graph)
    assert len(trained_files(host, word)) == 1


def test_gradient_checkpointing_learns_the_same(host):
    """Who saves memory by ``gradient_checkpointing`` gets the same concept."""
    concepts = []
    for recompute in (False, True):
        graph, _ = training(host, word="samebox", steps=2, gradient_checkpointing=recompute)
        host.run(graph)
        concepts.append(load_concept(trained_files(host, "samebox")[0]))
        if not recompute:
            for file in trained_files(host, "samebox"):
                file.unlink()
    first, second = (concept.value_residuals["middle_block.1.transformer_blocks.0.attn2"] for concept in concepts)
    assert torch.allclose(first, second, atol=1e-4) and first.norm() > 0


def test_a_position_gate_trains_stops_goes_on_and_draws(host):
    """The other gate, from pictures to a picture: no statistics, cancel and go on, a small file, and its look."""
    graph, node = training(host, word="placebox", steps=STEPS, gate="position", value_learning_rate=0.3)
    del graph[node]["inputs"]["statistics"]
    host.run(graph, Watch(node, cancel_at=4))
    watch = Watch(node)
    host.run(graph, watch)
    first_line = next(line for line in texts(watch.lines) if "loss" in line)
    assert int(first_line.split("/")[0]) in (5, 6)
    (file,) = trained_files(host, "placebox")
    concept = load_concept(file)
    assert concept.gate.value == "position" and not concept.word_embeddings and "statistics" not in concept.metadata
    before = host.log_text().count("have no effect")
    shown = {}
    for prompt in ("a photo of a placebox", "a photo of a box"):
        graph, preview = picture(prompt, [(f"trained/{file.name}", {"bias": 0.6})])
        shown[prompt] = host.pictures(host.run(graph), preview)
    plain, preview = picture("a photo of a box")
    np.testing.assert_array_equal(shown["a photo of a box"], host.pictures(host.run(plain), preview))
    assert mean_difference(*shown.values()) > 0.2
    assert "another text encoder" not in host.log_text() and host.log_text().count("have no effect") == before


def test_inputs_that_a_position_gate_has_no_use_for_are_told(host):
    """Who connects statistics or chooses a key locking with it learns that they do nothing, on both nodes."""
    graph, node = training(host, word="toldbox", steps=2, gate="position", key_locking="exact")
    model, clip, _ = load(graph)
    inputs = {"visual_strength": 1.0, "bias": 0.6, "temperature": 0.15, "leak_free": False, "key_locking": "exact"}
    place = {"model": model, "clip": clip, "concept": [node, 0], "start_percent": 0.0, "end_percent": 1.0}
    applied = graph.add("PerfusionApplyKeyLockedAttention", **inputs, **place)
    positive, negative = (encode(graph, applied[1], text) for text in ("a toldbox", ""))
    show(graph, sample(graph, applied[0], positive, negative), load(graph)[2])
    host.run(graph)
    log = host.log_text()
    assert "so statistics and key_locking of this node have no effect" in log
    assert "'toldbox' was trained with the gate 'position'" in log
