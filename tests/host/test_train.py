"""Train Perfusion Concept on the real server: from pictures to a concept, and from disk the next time."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch

from builders.server import Server
from builders.training_runs import STEPS, Watch, texts, trained_files, training
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
)
from perfusion_ops.concept.file import load_concept


def test_training_shows_its_progress_and_leaves_a_concept_that_changes_pictures(trainer, comfyui_path):
    """The node does its work: pictures in, a concept out, with its progress on the node."""
    plain = picture("a photo of a box", steps=2)
    before = trainer.pictures(trainer.run(plain[0]), plain[1])
    graph, node = training(trainer, word="redbox", steps=STEPS, preview_every=6, value_learning_rate=0.3)
    watch = Watch(node)
    result = trainer.run(graph, watch)
    lines = texts(watch.lines)
    assert re.fullmatch(r"12/12 · loss \d\.\d{4} · .*s.* · 00:00:00 left", lines[-1])
    assert watch.previews >= 2
    assert len(result.outputs[node]["images"]) == 1
    (file,) = trained_files(trainer, "redbox")
    concept = load_concept(file)
    assert concept.word == "redbox" and concept.superclass == "box" and concept.base_family == "sd1"
    losses = json.loads(file.with_suffix(".losses.json").read_text())
    assert len(losses) == STEPS and all(np.isfinite(losses))
    after = trainer.pictures(trainer.run(picture("a photo of a box", steps=2)[0]), plain[1])
    np.testing.assert_array_equal(after, before)
    graph, shown = picture("a photo of a redbox", [(f"trained/{file.name}", {})])
    assert mean_difference(trainer.pictures(trainer.run(graph), shown), before) > 0.2
    assert "another text encoder" not in trainer.log_text()


def test_the_loss_falls(trainer):
    """Training in ComfyUI learns.

    Beside a training that learns nothing from the same draws: what a step draws does not depend on the rates.
    """
    losses = {}
    for word, rate in (("learnbox", 0.3), ("idlebox", 0.0)):
        rates = {"value_learning_rate": rate, "word_learning_rate": rate / 10}
        graph, _ = training(trainer, word=word, steps=STEPS, **rates)
        trainer.run(graph)
        (file,) = trained_files(trainer, word)
        losses[word] = np.array(json.loads(file.with_suffix(".losses.json").read_text()))
    assert losses["learnbox"][0] == losses["idlebox"][0]
    assert losses["learnbox"][6:].mean() < losses["idlebox"][6:].mean()


def test_the_plain_workflow_after_training_is_that_of_a_fresh_server(trainer, comfyui_path, host_folder):
    """A training leaves nothing behind that changes later pictures."""
    graph, node = picture("a photo of a dog", seed=77)
    after = trainer.pictures(trainer.run(graph), node)
    with Server(comfyui_path, host_folder(), pack=False) as fresh:
        np.testing.assert_array_equal(after, fresh.pictures(fresh.run(graph), node))


def test_two_trainings_alternating_with_another_workflow_train_once_each(trainer):
    """Queueing again does not train again.

    What runs between them empties the host's cache, and another micro-batch would miss it anyway.
    """
    drawing, _ = picture("a photo of a box", steps=1)
    words = ("oncebox", "otherbox")
    for word in words:
        graph, node = training(trainer, word=word, steps=3)
        watch = Watch(node)
        trainer.run(graph, watch)
        assert not any("Reused" in line for line in texts(watch.lines))
        trainer.run(drawing)
    written = {file: file.stat().st_mtime_ns for word in words for file in trained_files(trainer, word)}
    assert len(written) == 2
    for word in words:
        graph, node = training(trainer, word=word, steps=3, micro_batch=1)
        watch = Watch(node)
        told = trainer.run(graph, watch).events_of("perfusion.told")
        assert "Reused" in texts(watch.lines)[-1] == told[-1]["text"]
        trainer.run(drawing)
    assert written == {file: file.stat().st_mtime_ns for word in words for file in trained_files(trainer, word)}


def test_clip_skip_of_the_training_is_expected_of_every_prompt_that_names_the_concept(trainer):
    """Who trains with CLIP Set Last Layer and draws without it is told; where it stands does not matter."""
    graph = Workflow()
    model, clip, vae = load(graph)

    def skipping(clip):
        return graph.add("CLIPSetLastLayer", clip=clip, stop_at_clip_layer=-2)[0]

    node = train(graph, image_list(graph, *trainer.shots[:2]), (model, skipping(clip), vae), word="skipbox", steps=2)
    settings = {"temperature": 0.15, "key_locking": "local", "leak_free": False, "visual_strength": 1.0}
    settings |= {"model": model, "concept": node[0], "start_percent": 0.0, "end_percent": 1.0}
    # Of nodes with the same inputs ComfyUI runs one.
    clips = ((skipping(clip), 0.6), (clip, 0.61), (clip, 0.62))
    kind = "PerfusionApplyKeyLockedAttention"
    before, behind, without = (graph.add(kind, clip=given, bias=bias, **settings) for given, bias in clips)
    for read in (before[1], skipping(behind[1]), without[1]):
        graph.add("PreviewAny", source=encode(graph, read, "a skipbox"))
    (warning,) = trainer.run(graph).events_of("perfusion.warning")
    assert warning["node"] == without.name
    assert "on layer -2 of the text encoder, and a prompt that names it is encoded on layer -1" in warning["text"]
    (file,) = trained_files(trainer, "skipbox")
    assert load_concept(file).metadata["last_layer"] == "-2"


def test_a_trained_concept_saves_loads_and_applies_in_one_workflow(trainer):
    """Train, Save and Apply can be wired into one workflow and queued once."""
    graph = Workflow()
    model, clip, vae = load(graph)
    node = train(graph, image_list(graph, *trainer.shots[:2]), (model, clip, vae), word="wirebox", steps=3)
    first = graph.add("LoadImage", image=trainer.shots[0])[0]
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
    result = trainer.run(graph)
    assert "last_layer" not in load_concept(trained_files(trainer, "wirebox")[0]).metadata
    assert "boxes/wire.safetensors" in result.outputs[saved.name]["text"][0]
    assert trainer.pictures(result, node).shape[-1] == 3
    file = trainer.folder / "output/perfusion/boxes/wire.safetensors"
    assert file.stat().st_size < 32_768 and file.with_suffix(".jpg").exists()
    listed = trainer.get("/object_info/PerfusionLoadConcept")["PerfusionLoadConcept"]["input"]["required"]["concept"]
    assert "boxes/wire.safetensors" in json.dumps(listed)


@pytest.mark.parametrize("how", ["alpha", None])
def test_one_picture_and_pictures_with_alpha_train(trainer, how):
    """One picture is enough, and PNG files with transparency need no other node."""
    graph = Workflow()
    pixels = graph.add("LoadImage", image=trainer.shots[0])[0]
    if how is not None:
        pixels = graph.add("HelperSpoil", image=pixels, how=how)[0]
    word = f"onebox_{how}"
    train(graph, pixels, load(graph), word=word, steps=2)
    trainer.run(graph)
    assert len(trained_files(trainer, word)) == 1


def test_gradient_checkpointing_learns_the_same(trainer):
    """Who saves memory by ``gradient_checkpointing`` gets the same concept."""
    concepts = []
    for recompute in (False, True):
        graph, _ = training(trainer, word="samebox", steps=2, gradient_checkpointing=recompute)
        trainer.run(graph)
        concepts.append(load_concept(trained_files(trainer, "samebox")[0]))
        if not recompute:
            for file in trained_files(trainer, "samebox"):
                file.unlink()
    first, second = (concept.value_residuals["middle_block.1.transformer_blocks.0.attn2"] for concept in concepts)
    assert torch.allclose(first, second, atol=1e-4) and first.norm() > 0
