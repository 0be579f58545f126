"""The official SDXL templates with a concept in them, their refiner, and SDXL's own encode node.

SD 1.x has no template any more. The refiner is a small one with its own layout: what is tried is a concept on the base.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest

from builders.family_files import install
from builders.server import Server, WorkflowError
from builders.templates import first_loader, small, spliced, templates
from builders.ui_workflows import nodes_of
from builders.workflows import Workflow, apply, load, mean_difference, sample, show

pytestmark = pytest.mark.slow
CONCEPT = "sdxl_teddy.safetensors"
PLAIN, NAMED = "a photo of a bear", "a photo of a teddy_t"


@pytest.fixture(scope="module")
def host(comfyui_path, host_folder):
    folder = host_folder("sdxl")
    install(folder, {"checkpoints/refiner.safetensors": "checkpoints/refiner"}, comfyui_path)
    with Server(comfyui_path, folder) as server:
        yield server


def draw(host, graph: dict) -> np.ndarray:
    (save,) = nodes_of(graph, "SaveImage")
    return host.pictures(host.run(graph), save)


def with_prompt(graph: dict, text: str) -> dict:
    """The workflow with ``text`` for every prompt that is not a negative one."""
    graph = copy.deepcopy(graph)
    for name in nodes_of(graph, "CLIPTextEncode"):
        if "watermark" not in graph[name]["inputs"]["text"]:
            graph[name]["inputs"]["text"] = text
    return graph


def test_a_template_with_the_concept_draws_it_and_nothing_else_changes(host):
    """A user puts the two nodes into an official template and finds the concept where the word is, only there."""
    found = templates()
    if not found:
        pytest.skip("comfyui-workflow-templates has no template of SD 1.x, SD 2.x or SDXL")
    for name, workflow in found.items():
        graph = small(workflow, host, "sdxl.safetensors", "refiner.safetensors")
        plain = draw(host, with_prompt(graph, PLAIN))
        on_first = spliced(graph, first_loader(graph), CONCEPT)
        np.testing.assert_array_equal(draw(host, with_prompt(on_first, PLAIN)), plain, err_msg=name)
        assert mean_difference(draw(host, with_prompt(on_first, NAMED)), plain) > 0.1, name


def test_the_refiner_is_told_to_go_without_the_concept(host):
    """Who puts the concept on the refiner too reads where it belongs."""
    graph = Workflow()
    model, clip, vae = load(graph, "refiner")
    model, clip = apply(graph, model, clip, CONCEPT)
    prompts = [graph.add("CLIPTextEncode", clip=clip, text=text)[0] for text in (NAMED, "")]
    show(graph, sample(graph, model, *prompts, steps=1), vae)
    with pytest.raises(WorkflowError, match="The model is SDXL's refiner, .*Connect Apply .* to the base model"):
        host.run(graph)


def test_the_encode_node_of_sdxl_reads_the_word(host):
    """A user of CLIPTextEncodeSDXL would lose the concept, or the picture without it."""

    def picture(text: str, strength: float | None):
        graph = Workflow()
        model, clip, vae = load(graph, "sdxl")
        if strength is not None:
            model, clip = apply(graph, model, clip, CONCEPT, visual_strength=strength)
        sizes = dict.fromkeys(("width", "height", "target_width", "target_height"), 64) | {"crop_w": 0, "crop_h": 0}
        prompts = [graph.add("CLIPTextEncodeSDXL", clip=clip, text_g=t, text_l=t, **sizes)[0] for t in (text, "")]
        shown = show(graph, sample(graph, model, *prompts, steps=1), vae)
        return host.pictures(host.run(graph), shown)

    plain, once = picture(PLAIN, None), picture(NAMED, 1.0)
    np.testing.assert_array_equal(picture(PLAIN, 1.0), plain)
    assert mean_difference(once, plain) > 0.1
    assert mean_difference(once, picture(NAMED, 2.0)) > 0.1
