"""Servers started another way, and a model compiled by another node."""

from __future__ import annotations

import numpy as np
import pytest

from builders.server import Server
from builders.workflows import Workflow, apply, encode, load, mean_difference, picture, sample, show

TEDDY = [("teddy.safetensors", {})]
PROMPT, PLAIN = "a photo of a teddy_t", "a photo of a bear"


def draw(server: Server, *workflow) -> np.ndarray:
    return server.pictures(server.run(workflow[0]), workflow[1])


@pytest.mark.slow
@pytest.mark.parametrize("flags", [("--cache-none",), ("--fp8_e4m3fn-unet",)])
def test_the_concept_and_the_plain_prompt_under_other_flags(comfyui_path, host_folder, flags):
    """The pack works without the host's cache and on a U-Net in float8."""
    with Server(comfyui_path, host_folder(), flags) as server:
        edited = draw(server, *picture(PROMPT, TEDDY))
        plain = draw(server, *picture(PLAIN))
        assert mean_difference(edited, plain) > 1
        np.testing.assert_array_equal(draw(server, *picture(PLAIN, TEDDY)), plain)
        np.testing.assert_array_equal(draw(server, *picture(PROMPT, TEDDY)), edited)


def compiled(prompt: str, order: str, **settings) -> tuple[Workflow, str]:
    """A workflow with a compiled model ``before`` or ``after`` Apply."""
    graph = Workflow()
    model, clip, vae = load(graph)
    if order == "before":
        model = graph.add("HelperCompile", model=model)[0]
    model, clip = apply(graph, model, clip, "teddy.safetensors", **settings)
    if order == "after":
        model = graph.add("HelperCompile", model=model)[0]
    latent = sample(graph, model, encode(graph, clip, prompt), encode(graph, clip, ""))
    return graph, show(graph, latent, vae)


@pytest.mark.slow
def test_a_compiled_model_never_shows_another_concept_than_the_one_asked_for(comfyui_path, host_folder):
    """Models may be compiled.

    The first, plain prompt compiles the model; what follows must not reuse that graph without the edit.
    """
    with Server(comfyui_path, host_folder()) as server:
        uncompiled = draw(server, *picture(PLAIN))
        expected = {
            strength: draw(server, *picture(PROMPT, [("teddy.safetensors", {"visual_strength": strength})]))
            for strength in (1.0, 2.0)
        }
        for order in ("before", "after"):
            plain = draw(server, *compiled(PLAIN, order))
            assert mean_difference(plain, uncompiled) < 1
            assert "HelperCompile: a graph of" in server.log_text(), "nothing was compiled"
            for strength, edited in expected.items():
                np.testing.assert_array_equal(draw(server, *compiled(PROMPT, order, visual_strength=strength)), edited)
            np.testing.assert_array_equal(draw(server, *compiled(PLAIN, order)), plain)
