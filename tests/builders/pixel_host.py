"""The pixel world inside ComfyUI and outside it: the same pictures, concepts and training pictures on both ways."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from builders.workflows import Workflow, apply, encode, load, sample, show
from perfusion_ops import Concept, EditedContext, EditTerm, Gate, JointEdit, KeyLocking, inject
from perfusion_ops.text.covariance import DEFAULT_DAMPING, DEFAULT_MIX, TokenKind, UncenteredCovariance, inverse
from pixelworld.captions import Caption
from pixelworld.concepts import encode_prompts
from pixelworld.evaluate import judge
from pixelworld.expand import FACTOR
from pixelworld.reader import Reader
from pixelworld.sampling import sample as sample_host_free
from pixelworld.scene import training_pictures
from pixelworld.text_encoder import END
from pixelworld.unet import value_projection_names
from pixelworld.world import pictures_from_latents

STEPS, GUIDANCE = 9, 3.0
"""Nine steps of 111 timesteps: the host's sgm_uniform schedule and the pixel world's then agree."""
GATE = {"bias": 0.6, "temperature": 0.15}
CELL = 8
"""Picture pixels per cell of the pixel world."""


def inverse_covariance(world, corpus: list[str]) -> torch.Tensor:
    """C^-1 (768, 768) over ``corpus``, as the host's training node takes it."""
    statistics = UncenteredCovariance(768)
    rows = [world.text_encoder.tokens(text) for text in corpus]
    kinds = torch.full((len(rows), 77), int(TokenKind.PADDING))
    for number, row in enumerate(rows):
        end = row.index(END)
        kinds[number, 0], kinds[number, end] = TokenKind.START, TokenKind.END
        kinds[number, 1:end] = TokenKind.WORD
    with torch.no_grad():
        statistics.update(world.text_encoder.encode(corpus), kinds)
    return inverse(statistics.matrix(DEFAULT_MIX), DEFAULT_DAMPING).float()


def expanded(concept: Concept) -> Concept:
    """The same concept for the host's wider network."""
    values = {name: values.repeat_interleave(FACTOR) for name, values in concept.value_residuals.items()}
    return replace(concept, value_residuals=values)


def file_of(word: str) -> str:
    return f"{word.strip('<>')}.safetensors"


def draw_in_host(host, text: str, words: list[str], locking: str, seed: int) -> np.ndarray:
    """A picture (16, 16, 3) in [0, 1] by the host's own nodes."""
    graph = Workflow()
    model, clip, vae = load(graph)
    for word in words:
        model, clip = apply(graph, model, clip, file_of(word), **GATE, key_locking=locking.replace("_", " "))
    settings = {"sampler_name": "dpmpp_2m", "scheduler": "sgm_uniform", "steps": STEPS, "cfg": GUIDANCE, "seed": seed}
    latent = sample(graph, model, encode(graph, clip, text), encode(graph, clip, ""), size=16 * CELL, **settings)
    node = show(graph, latent, vae)
    return in_cells(host.pictures(host.run(graph), node)[0])


def in_cells(picture: np.ndarray) -> np.ndarray:
    """A picture of the host as one of the pixel world (16, 16, 3) in [0, 1]."""
    return (picture.reshape(16, CELL, 16, CELL, 3).mean((1, 3)) / 255).astype(np.float32)


def draw_without(world, concepts, text: str, words: list[str], locking: str, seed: int) -> np.ndarray:
    """The same by the small network and perfusion_ops alone."""
    terms = [EditTerm(concepts[word], Gate(**GATE), key_locking=KeyLocking(locking)) for word in words]
    if not terms:
        encodings = world.text_encoder.encode([text])
        return picture_of(sample_host_free(world, encodings, [seed], steps=STEPS, guidance=GUIDANCE))
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
        return picture_of(sample_host_free(world, prompts.encodings, [seed], steps=STEPS, guidance=GUIDANCE))


def picture_of(latents: torch.Tensor) -> np.ndarray:
    return pictures_from_latents(latents)[0].numpy()


def shown(caption: Caption, reading) -> dict[str, bool]:
    """Attribute the caption names -> whether the picture shows it.

    Neither traits nor the number of figures, which no caption names: where the reader is of two minds about one,
    the paths' different rounding decides.
    """
    return {name: right for name, right in judge(caption, reading).items() if name != "count"}


def drawn_sides(host, graph: dict, save: str) -> set:
    """Where the figures of a picture stand, and their traits."""
    (reading,) = Reader().read(torch.from_numpy(in_cells(host.pictures(host.run(graph), save)[0]))[None])
    return {(figure.position, figure.traits) for figure in reading.figures}


def write_shots(folder, individual) -> list[str]:
    """Training pictures with their masks as alpha: the host takes alpha for what is outside a mask."""
    names = []
    for number, shot in enumerate(training_pictures(individual)):
        pixels = np.concatenate([shot.pixels, 1 - shot.mask[..., None]], axis=-1)
        names.append(f"shot{number}.png")
        large = (255 * pixels).round().astype(np.uint8).repeat(CELL, 0).repeat(CELL, 1)
        Image.fromarray(large, "RGBA").save(folder / "input" / names[-1])
    return names
