"""The pixel world through the real host: what its KSampler draws is what the small network draws without it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from host.server import ROOT, Server
from host.workflows import Workflow, apply, encode, load, sample, show
from perfusion_ops import EditedContext, EditTerm, Gate, JointEdit, KeyLocking, TrainingSettings, inject, train
from perfusion_ops.concept_file import load_concept, save_concept
from perfusion_ops.covariance import TokenKind, UncenteredCovariance, inverse
from pixelworld.captions import sample_caption
from pixelworld.concepts import concept_task, encode_prompts
from pixelworld.expand import write_checkpoint
from pixelworld.sampling import sample as sample_host_free
from pixelworld.scene import sample_individual
from pixelworld.unet import value_projection_names
from pixelworld.world import load_world, pictures_from_latents

SUBJECTS = {"<momo>": sample_individual(1, "cat"), "<bolt>": sample_individual(2, "robot")}
STEPS, GUIDANCE = 9, 3.0
"""Nine steps of 111 timesteps: the host's sgm_uniform schedule and the pixel world's then agree."""
GATE = {"bias": 0.6, "temperature": 0.15}
CASES = {
    "no concept": ("a photo of a cat on a beach", [], "local"),
    "one concept": ("a photo of a <momo> in space", ["<momo>"], "local"),
    "global keys": ("a painting of a <momo> wearing a crown", ["<momo>"], "global_gated"),
    "two concepts": ("a photo of a <momo> and a <bolt> in space", ["<momo>", "<bolt>"], "local"),
}


@pytest.fixture(scope="module")
def world():
    return load_world()


@pytest.fixture(scope="module")
def concepts(world, tmp_path_factory):
    """Both subjects, briefly trained without the host and read back from their files."""
    rng = np.random.RandomState(0)
    texts = [sample_caption(rng).text() for _ in range(200)]
    statistics = UncenteredCovariance(768)
    with torch.no_grad():
        encodings = world.text_encoder.encode(texts)
    kinds = torch.full(encodings.shape[:2], int(TokenKind.PADDING))
    for row, text in enumerate(texts):
        kinds[row, 1 : 1 + len(text.split())] = int(TokenKind.WORD)
    statistics.update(encodings, kinds)
    metric = inverse(statistics.matrix({TokenKind.WORD: 1.0})).float()
    settings = TrainingSettings(steps=20, batch_size=4, micro_batch=4, flip=False)
    folder = tmp_path_factory.mktemp("concepts")
    trained = {}
    for word, individual in SUBJECTS.items():
        path = folder / f"{word.strip('<>')}.safetensors"
        save_concept(train(concept_task(world, individual, metric, word), settings).concept, path, "fp32")
        trained[word] = path
    return trained


def draw_host_free(world, files, text: str, words: list[str], locking: str, seed: int) -> np.ndarray:
    """A picture (16, 16, 3) in [0, 1] by the small network and perfusion_ops alone."""
    terms = [EditTerm(load_concept(files[word]), Gate(**GATE), key_locking=KeyLocking(locking)) for word in words]
    if not terms:
        encodings = world.text_encoder.encode([text])
        return _picture(sample_host_free(world, encodings, [seed], steps=STEPS, guidance=GUIDANCE))
    edit = JointEdit.of(terms)
    prompts = encode_prompts(world.text_encoder, [text], [term.concept for term in edit.terms])
    context = edit.contexts(prompts.encodings, prompts.superclass_encodings, prompts.present, prompts.keep)
    empty = world.text_encoder.encode([""])
    both = EditedContext(
        torch.cat([context.keys, empty]),
        torch.cat([context.values, empty]),
        torch.cat([context.gates, torch.zeros_like(context.gates)]),
    )
    with inject(value_projection_names(world.unet)) as injected:
        injected.use(both, edit.value_residuals)
        return _picture(sample_host_free(world, prompts.encodings, [seed], steps=STEPS, guidance=GUIDANCE))


def _picture(latents: torch.Tensor) -> np.ndarray:
    return pictures_from_latents(latents)[0].numpy()


@pytest.fixture(scope="module")
def host(comfyui_path, tmp_path_factory, concepts):
    folder = tmp_path_factory.mktemp("pixelworld")
    for name in ("models/checkpoints", "models/perfusion"):
        (folder / name).mkdir(parents=True)
    (folder / "models/checkpoints/sd1.safetensors").symlink_to(write_checkpoint(ROOT / "build" / "checkpoints"))
    for path in concepts.values():
        (folder / "models/perfusion" / path.name).symlink_to(path)
    with Server(comfyui_path, folder) as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_host_draws_what_the_small_network_draws(world, concepts, host, case):
    text, words, locking = CASES[case]
    graph = Workflow()
    model, clip, vae = load(graph)
    for word in words:
        settings = {**GATE, "key_locking": locking.replace("_", " ")}
        model, clip = apply(graph, model, clip, concepts[word].name, **settings)
    settings = {"sampler_name": "dpmpp_2m", "scheduler": "sgm_uniform", "steps": STEPS, "cfg": GUIDANCE, "seed": 11}
    latent = sample(graph, model, encode(graph, clip, text), encode(graph, clip, ""), size=128, **settings)
    node = show(graph, latent, vae)
    drawn = host.pictures(host.run(graph), node)[0].reshape(16, 8, 16, 8, 3).mean((1, 3)) / 255
    expected = draw_host_free(world, concepts, text, words, locking, seed=11)
    # Both paths round differently over nine steps; another picture would be off by a hundred times as much.
    assert np.abs(drawn - expected).mean() < 0.01
    other = draw_host_free(world, concepts, text, words, locking, seed=12)
    assert np.abs(drawn - other).mean() > 0.05
