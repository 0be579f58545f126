"""What people reported of other trainers and adapters, tried on this pack. docs/compatibility.md lists the reports."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from builders.workflows import (
    Workflow,
    apply,
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

TEDDY = [("teddy.safetensors", {})]


@pytest.mark.parametrize(
    "prompt",
    ["a photo,teddy_t,on a beach", "((teddy_t)) on a beach", "((teddy_t:1.2) (on a beach):0.9)", "TEDDY_T \\(toy\\)"],
)
def test_the_word_is_found_beside_commas_brackets_and_weights(draw, prompt):
    """ComfyUI 4280 and 4610, prompt-control 136, Lora-Manager 951: a name beside a comma or bracket has no effect."""
    plain = draw(*picture(prompt.lower().replace("teddy_t", "bear")))
    assert mean_difference(draw(*picture(prompt, TEDDY)), plain) > 0.5


def test_a_removed_concept_is_gone_at_once(draw):
    """PhotoMaker-ZHO 32, efficiency-nodes 279, nunchaku 123: an adapter stays after its node is gone."""
    plain = draw(*picture("a photo of a bear", seed=21))
    assert mean_difference(draw(*picture("a photo of a teddy_t", TEDDY, seed=21)), plain) > 0.5
    off = [("teddy.safetensors", {"visual_strength": 0.0})]
    np.testing.assert_array_equal(draw(*picture("a photo of a teddy_t", off, seed=21)), plain)
    np.testing.assert_array_equal(draw(*picture("a photo of a bear", seed=21, again=1)), plain)


def test_a_concept_still_works_when_only_the_prompt_changes(draw):
    """HunyuanVideoWrapper 245: with the loader taken from the cache, the second picture has lost its LoRA."""
    draw(*picture("a photo of a teddy_t", TEDDY, seed=22))
    second = draw(*picture("a photo of a teddy_t.", TEDDY, seed=22))
    plain = draw(*picture("a photo of a bear.", seed=22))
    assert mean_difference(second, plain) > 0.5
    np.testing.assert_array_equal(draw(*picture("a photo of a teddy_t.", TEDDY, seed=22, again=1)), second)


def test_sides_that_no_level_halves_evenly_work_with_a_region(draw):
    """IPAdapter_plus 169: 280 tokens against 273, at a size that is no multiple of 64."""

    def drawn(value: float) -> np.ndarray:
        graph = Workflow()
        model, clip, vae = load(graph)
        mask = graph.add("SolidMask", value=value, width=72, height=104)[0]
        model, clip = apply(graph, model, clip, "teddy.safetensors", region=mask)
        latent = graph.add("EmptyLatentImage", width=72, height=104, batch_size=1)[0]
        prompts = [encode(graph, clip, text) for text in ("a photo of a teddy_t", "")]
        return draw(graph, show(graph, sample(graph, model, *prompts, latent_image=latent), vae))

    assert drawn(1.0).shape == (1, 104, 72, 3)
    assert mean_difference(drawn(1.0), drawn(0.0)) > 0.5


def test_a_negative_prompt_of_another_length_draws(draw):
    """ComfyCouple 3: 77 tokens against 231."""
    negative = ", ".join(f"tree number {n}" for n in range(50))
    plain = draw(*picture("a photo of a bear", negative=negative))
    assert mean_difference(draw(*picture("a photo of a teddy_t", TEDDY, negative=negative)), plain) > 0.5
    np.testing.assert_array_equal(draw(*picture("a photo of a bear", TEDDY, negative=negative)), plain)


def test_a_second_pass_on_a_larger_latent_keeps_the_concept(draw):
    """The hires fix, and two samplers in one workflow: each pass draws the concept, and no other prompt changes."""

    def twice(text: str, edited: bool) -> np.ndarray:
        graph = Workflow()
        model, clip, vae = load(graph)
        if edited:
            model, clip = apply(graph, model, clip, "teddy.safetensors")
        prompts = [encode(graph, clip, part) for part in (text, "")]
        first = sample(graph, model, *prompts)
        larger = {"width": 96, "height": 96, "upscale_method": "nearest-exact", "crop": "disabled"}
        upscaled = graph.add("LatentUpscale", samples=first, **larger)[0]
        return draw(graph, show(graph, sample(graph, model, *prompts, latent_image=upscaled, denoise=0.5), vae))

    plain = twice("a photo of a bear", False)
    assert plain.shape == (1, 96, 96, 3)
    np.testing.assert_array_equal(twice("a photo of a bear", True), plain)
    assert mean_difference(twice("a photo of a teddy_t", True), plain) > 0.5


def test_a_jpeg_named_png_and_pictures_of_unlike_sizes_train_twice_and_leave_a_file(server):
    """kohya_ss 1718, FL-Trainer 11, FluxTrainer 12, Lora-Training-in-Comfy 94: what stopped other trainers."""
    first, second = training_pictures(server.folder, 2)
    Image.open(server.folder / "input" / first).convert("RGB").save(server.folder / "input/really_jpeg.png", "JPEG")
    for word in ("jpegbox", "jpegbox2"):
        graph = Workflow()
        settings = {"word": word, "steps": 1, "batch_size": 1, "micro_batch": 1, "preview_every": 1}
        train(graph, image_list(graph, "really_jpeg.png", second), load(graph), **settings)
        server.run(graph)
        assert list((server.folder / "output/perfusion/trained").glob(f"{word}_*.safetensors"))


def test_a_training_at_the_highest_rates_ends_with_a_concept_that_draws(server):
    """ComfyUI 13089 and sd-scripts 385: the loss becomes nan, and the run goes on to the end with a broken file."""
    shots = training_pictures(server.folder, 2)
    graph = Workflow()
    settings = {"word": "wildbox", "steps": 12, "batch_size": 1, "micro_batch": 1}
    rates = {"value_learning_rate": 1.0, "word_learning_rate": 1.0}
    train(graph, image_list(graph, *shots), load(graph), **settings, **rates)
    server.run(graph)
    (file,) = (server.folder / "output/perfusion/trained").glob("wildbox_*.safetensors")
    graph, node = picture("a photo of a wildbox", [(f"trained/{file.name}", {})])
    assert np.ptp(server.pictures(server.run(graph), node)) > 0
