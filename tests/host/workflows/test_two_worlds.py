"""The pixel world with and without the host: what it draws and learns inside is what it draws and learns outside.

The host's network is the small one with every channel repeated, so a concept is carried over by repeating its values.
"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from builders.pixel_host import (
    CELL,
    GUIDANCE,
    STEPS,
    draw_in_host,
    draw_without,
    drawn_sides,
    expanded,
    file_of,
    in_cells,
    inverse_covariance,
    shown,
    write_shots,
)
from builders.places import ROOT
from builders.server import Server
from builders.ui_workflows import EVALUATE, REGIONS, nodes_of, set_inputs, shipped, to_api
from builders.workflows import Output, Workflow, load
from builders.workflows import train as train_in_host
from perfusion_ops import TrainingSettings, train
from perfusion_ops.concept.file import load_concept, save_concept
from pixelworld.captions import Caption, sample_caption, sample_scene
from pixelworld.concepts import TEMPLATES, concept_task
from pixelworld.expand import write_checkpoint
from pixelworld.reader import Reader, identity_score
from pixelworld.scene import render, sample_individual
from pixelworld.world import load_world

SUBJECTS = {"<momo>": sample_individual(1, "cat"), "<bolt>": sample_individual(2, "robot")}
CASES = {
    "no concept": ("a photo of a cat on a beach", [], "local"),
    "one concept": ("a photo of a <momo> in space", ["<momo>"], "local"),
    "global keys": ("a painting of a <momo> wearing a crown", ["<momo>"], "global_gated"),
    "two concepts": ("a photo of a <momo> and a <bolt> in space", ["<momo>", "<bolt>"], "local"),
}
NAMING = ({"place": "snow"}, {"place": "beach", "accessory": "hat"}, {"object": "ball", "object_colour": "red"})
"""What the measured prompts name beside the concept."""
RATES = {"value_learning_rate": 0.3, "word_learning_rate": 0.02}
"""The pixel world's, from benchmarks/proof/recipes.py."""
LONG = TrainingSettings(steps=50, batch_size=8, micro_batch=8, flip=False, **RATES)
SHORT = TrainingSettings(steps=5, batch_size=2, micro_batch=2, flip=False)


@pytest.fixture(scope="module")
def world():
    return load_world()


@pytest.fixture(scope="module")
def corpus():
    rng = np.random.RandomState(0)
    return list(dict.fromkeys(sample_caption(rng).text() for _ in range(120)))


@pytest.fixture(scope="module")
def metric(world, corpus):
    return inverse_covariance(world, corpus)


@pytest.fixture(scope="module")
def concepts(world, metric):
    """Both subjects, trained without the host as well as the proof trains them."""
    return {
        word: train(concept_task(world, individual, metric, word), LONG).concept
        for word, individual in SUBJECTS.items()
    }


@pytest.fixture(scope="module")
def host(comfyui_path, tmp_path_factory, concepts):
    folder = tmp_path_factory.mktemp("pixelworld")
    for name in ("models/checkpoints", "models/perfusion"):
        (folder / name).mkdir(parents=True)
    (folder / "models/checkpoints/sd1.safetensors").symlink_to(write_checkpoint(ROOT / "build" / "checkpoints"))
    for word, concept in concepts.items():
        save_concept(expanded(concept), folder / "models/perfusion" / file_of(word), "fp32")
    with Server(comfyui_path, folder) as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_host_draws_what_the_small_network_draws(world, concepts, host, case):
    """What the proof measures without ComfyUI is what a user sees in it."""
    drawn = draw_in_host(host, *CASES[case], seed=11)
    expected = draw_without(world, concepts, *CASES[case], seed=11)
    # Both paths round differently over nine steps; another picture would be off by a hundred times as much.
    assert np.abs(drawn - expected).mean() < 0.01
    other = draw_without(world, concepts, *CASES[case], seed=12)
    assert np.abs(drawn - other).mean() > 0.05


@pytest.mark.slow
@pytest.mark.parametrize("word", SUBJECTS)
def test_identity_and_what_a_picture_shows_are_equal(world, concepts, host, word):
    """The identity that the proof reports is the identity in ComfyUI."""
    individual = SUBJECTS[word]
    captions = [Caption(individual.class_word, **named) for named in NAMING]
    texts = [caption.text(word) for caption in captions]
    inside = np.stack([draw_in_host(host, text, [word], "local", 20) for text in texts])
    outside, other = (
        np.stack([draw_without(world, concepts, text, [word], "local", seed) for text in texts]) for seed in (20, 21)
    )
    plain = np.stack([draw_without(world, concepts, caption.text(), [], "local", 20) for caption in captions])
    assert (np.abs(inside - outside).mean((1, 2, 3)) < 0.01).all()
    scores, expected, strangers = (identity_score(torch.from_numpy(p), individual) for p in (inside, outside, plain))
    torch.testing.assert_close(scores, expected, rtol=0, atol=0.02)
    read_inside, read_outside = (Reader().read(torch.from_numpy(pictures)) for pictures in (inside, outside))
    for caption, found, wanted in zip(captions, read_inside, read_outside, strict=True):
        assert shown(caption, found) == shown(caption, wanted), caption.text(word)
    # Pictures of another seed would fail the first comparison of numbers, those without the concept the second.
    assert (np.abs(inside - other).mean((1, 2, 3)) > 0.05).all()
    assert ((scores - strangers).abs() > 0.2).all()


@pytest.mark.slow
def test_the_shipped_regions_keep_each_subject_on_its_side(host):
    """Who opens the workflow of two regions would find one subject's look on the other, or both on the wrong sides."""
    graph = to_api(shipped(REGIONS), host)
    for node, word in zip(nodes_of(graph, "PerfusionLoadConcept"), SUBJECTS, strict=True):
        graph[node]["inputs"]["concept"] = file_of(word)
    (sampler,), (save,) = nodes_of(graph, "KSampler"), nodes_of(graph, "SaveImage")
    texts = (f"a photo of a {' on the left and a '.join(SUBJECTS)} on the right in space", "")
    for name, text in zip(("positive", "negative"), texts, strict=True):
        graph[graph[sampler]["inputs"][name][0]]["inputs"]["text"] = text
    set_inputs(graph, "KSampler", seed=11, steps=STEPS, cfg=GUIDANCE, sampler_name="dpmpp_2m", scheduler="sgm_uniform")
    set_inputs(graph, "EmptyLatentImage", width=16 * CELL, height=16 * CELL)
    found = drawn_sides(host, graph, save)
    assert found == {("left", SUBJECTS["<momo>"].traits), ("right", SUBJECTS["<bolt>"].traits)}
    # Negative control: with the masks exchanged both words draw their superclasses.
    first, second = (graph[node]["inputs"] for node in nodes_of(graph, "PerfusionApplyKeyLockedAttention"))
    first["region"], second["region"] = second["region"], first["region"]
    assert not found & drawn_sides(host, graph, save)


def test_what_a_picture_shows_tells_a_missing_thing_from_one_that_is_there():
    """Negative control: a thing that is missing would be noticed."""
    individual = SUBJECTS["<bolt>"]
    with_hat, without = (
        Caption(individual.class_word, place="beach", accessory=accessory) for accessory in ("hat", None)
    )
    scenes = [sample_scene(caption, np.random.RandomState(0)) for caption in (with_hat, without)]
    first, second = Reader().read(torch.from_numpy(np.stack([render(scene) for scene in scenes])))
    assert shown(with_hat, first) == {"class": True, "place": True, "accessory": True}
    assert shown(with_hat, second) == {"class": True, "place": True, "accessory": False}


@pytest.mark.slow
def test_the_shipped_evaluation_shows_the_subject_and_scores_it_above_the_plain_model(host):
    """Who evaluates a concept by the shipped workflow sees the subject, every place, and a table that says the same."""
    word, individual = "<momo>", SUBJECTS["<momo>"]
    captions = [Caption(individual.class_word, place=place) for place in ("beach", "snow")]
    graph = to_api(shipped(EVALUATE), host)
    set_inputs(graph, "PerfusionLoadConcept", concept=file_of(word))
    for loader, name in zip(nodes_of(graph, "LoadImage"), write_shots(host.folder, individual), strict=False):
        graph[loader]["inputs"]["image"] = name
    set_inputs(graph, "EmptyLatentImage", width=16 * CELL, height=16 * CELL)
    settings = {"sampler_name": "dpmpp_2m", "scheduler": "sgm_uniform", "steps": STEPS, "cfg": GUIDANCE, "seed": 20}
    prompts = "\n".join(caption.text("{}") for caption in captions)
    set_inputs(graph, "PerfusionEvaluate", prompts=prompts, **settings)
    (evaluated,), (table,) = nodes_of(graph, "PerfusionEvaluate"), nodes_of(graph, "PreviewAny")
    graph["pictures"] = {"class_type": "PreviewImage", "inputs": {"images": [evaluated, 1]}}
    result = host.run(graph)
    pictures = torch.from_numpy(np.stack([in_cells(picture) for picture in host.pictures(result, "pictures")]))
    plain, taught = identity_score(pictures, individual).split(len(captions))
    assert (taught > plain + 0.2).all()
    for caption, reading in zip(captions, Reader().read(pictures[len(captions) :]), strict=True):
        assert shown(caption, reading) == {"class": True, "place": True}
    rows = [line.split("|") for line in result.outputs[table]["text"][0].splitlines() if line.startswith("|")][2:]
    assert [float(row[3]) for row in rows][0] == 0 and float(rows[1][3]) > 0.2
    assert [row[-2].strip() for row in rows] == 2 * ["the same to the bit"]
    (sheet,) = nodes_of(graph, "SaveImage")
    assert len(host.pictures(result, sheet)) == 1


@pytest.mark.slow
def test_the_host_learns_what_is_learned_without_it(world, metric, corpus, host):
    """The same pictures, words, captions and seed: step by step the same loss, and in the end the same concept."""
    word, individual = "<momo>", SUBJECTS["<momo>"]
    graph = Workflow()
    loaded = load(graph)
    shots = [graph.add("LoadImage", image=name) for name in write_shots(host.folder, individual)]
    images, masks = (
        graph.add("CreateList", **{f"inputs.input{number}": shot[slot] for number, shot in enumerate(shots)})[0]
        for slot in (0, 1)
    )
    statistics = graph.add("PerfusionTextStatistics", clip=loaded[1], captions=100, own_captions="\n".join(corpus))[0]
    settings = {name: getattr(SHORT, name) for name in ("steps", "batch_size", "micro_batch", "flip")}
    settings |= {"templates": "\n".join(TEMPLATES), "word": word, "superclass": individual.class_word, "masks": masks}
    node = train_in_host(graph, images, loaded, statistics=statistics, **settings)
    save = {"filename": "in_host", "precision": "fp32", "overwrite": True}
    graph.add("PerfusionSaveConcept", concept=Output(node.name, 0), **save)
    host.run(graph)
    inside = load_concept(host.folder / "output/perfusion/in_host.safetensors")
    (losses,) = (host.folder / "output/perfusion/trained").glob("*.losses.json")
    outside = train(concept_task(world, individual, metric, word), SHORT)
    # Pixels and masks reach the host in 256 levels, and its text encoder in half precision.
    np.testing.assert_allclose(json.loads(losses.read_text()), outside.losses, rtol=0.02)
    for name, values in expanded(outside.concept).value_residuals.items():
        assert torch.cosine_similarity(inside.value_residuals[name], values, dim=0) > 0.9, name
    for name in ("target_input", "superclass_encoding"):
        assert torch.cosine_similarity(getattr(inside, name), getattr(outside.concept, name), dim=0) > 0.999, name
    other = train(concept_task(world, individual, metric, word), replace(SHORT, seed=1)).concept
    name, values = next(iter(expanded(other).value_residuals.items()))
    assert torch.cosine_similarity(inside.value_residuals[name], values, dim=0) < 0.9
