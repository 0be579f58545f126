"""A region beside nodes that cut the picture: drawn in its place, or refused where its place is not known."""

from __future__ import annotations

import numpy as np
import pytest

from builders.server import WorkflowError
from builders.workflows import Workflow, apply, encode, load, mean_difference, sample, show

TEDDY = "teddy.safetensors"
CUT = {
    "context_length": 4,
    "context_overlap": 1,
    "context_schedule": "standard_static",
    "context_stride": 1,
    "closed_loop": False,
    "fuse_method": "pyramid",
    "freenoise": False,
    "cond_retain_index_list": "",
    "split_conds_to_windows": False,
    "latent_retain_index_list": "",
    "causal_window_fix": True,
}


def cut_in_halves(region: float | None, dim: int, batch: int = 1, **settings) -> tuple[Workflow, str]:
    """A picture whose model is called window by window along a dimension of the latent."""
    graph = Workflow()
    model, clip, vae = load(graph)
    if region is not None:
        settings["region"] = graph.add("SolidMask", value=region, width=64, height=64)[0]
    model, clip = apply(graph, model, clip, TEDDY, **settings)
    model = graph.add("ContextWindowsManual", model=model, dim=dim, **CUT)[0]
    prompts = encode(graph, clip, "a photo of a teddy_t"), encode(graph, clip, "")
    return graph, show(graph, sample(graph, model, *prompts, batch_size=batch), vae)


def test_a_region_is_refused_where_another_node_cuts_the_picture(server):
    """Squeezed into each part, the look would stand where nobody asked for it."""
    graph, _ = cut_in_halves(0.5, dim=3)
    with pytest.raises(WorkflowError, match="with 8 x 4 cells of a latent of 8 x 8.*Take the concept's region away"):
        server.run(graph)


def test_without_a_region_the_parts_of_a_picture_are_drawn(draw):
    """Tiles need no region to show the concept."""
    whole = draw(*cut_in_halves(None, dim=3))
    assert mean_difference(whole, draw(*cut_in_halves(None, dim=3, visual_strength=0.0))) > 0.5


def test_a_region_is_drawn_where_pictures_are_windows(draw):
    """Cut along a film, every part is a whole picture."""
    white, black = (draw(*cut_in_halves(value, dim=0, batch=6)) for value in (1.0, 0.0))
    np.testing.assert_array_equal(white, draw(*cut_in_halves(None, dim=0, batch=6)))
    assert mean_difference(white, black) > 0.5


def test_a_region_is_drawn_where_a_sampler_makes_the_picture_larger_on_its_way(draw):
    """SamplerLCMUpscale calls the model with ever larger latents, all of them whole."""

    def drawn(value: float) -> np.ndarray:
        graph = Workflow()
        model, clip, vae = load(graph)
        mask = graph.add("SolidMask", value=value, width=64, height=64)[0]
        model, clip = apply(graph, model, clip, TEDDY, region=mask)
        sampler = graph.add("SamplerLCMUpscale", scale_ratio=1.5, scale_steps=1, upscale_method="bislerp")[0]
        sigmas = graph.add("BasicScheduler", model=model, scheduler="normal", steps=2, denoise=1.0)[0]
        latent = graph.add("EmptyLatentImage", width=64, height=64, batch_size=1)[0]
        prompts = {"positive": encode(graph, clip, "a photo of a teddy_t"), "negative": encode(graph, clip, "")}
        inputs = {"add_noise": True, "noise_seed": 5, "cfg": 4.0, "sampler": sampler, "sigmas": sigmas}
        node = graph.add("SamplerCustom", model=model, latent_image=latent, **prompts, **inputs)
        return draw(graph, show(graph, node[0], vae))

    assert mean_difference(drawn(1.0), drawn(0.0)) > 0.5
