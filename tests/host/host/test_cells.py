"""Regions lie where a layer's places are, also where a node shrinks the picture inside the model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from builders.workflows import Workflow, apply, encode, load, mean_difference, sample, show

LATENT = (1, 4, 17, 17)


def test_a_layer_that_tells_its_grid_is_taken_at_its_word(pack):
    """Kohya's Deep Shrink computes 17 x 17 cells as 6 x 6, which no halving makes."""
    mask = torch.zeros(34, 34)
    mask[:, :17] = 1
    found = pack.cells.cells_of(mask, 36, LATENT, None, grid=(6, 6))
    assert torch.equal(found.view(6, 6)[0], torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0]))


def test_a_grid_that_is_not_of_the_layers_places_is_not_taken(pack):
    """Of a layer that some other node calls, with places of its own, the levels of the U-Net are tried."""
    mask = torch.ones(34, 34)
    assert len(pack.cells.cells_of(mask, 81, LATENT, None, grid=(6, 6))) == 81


def test_places_that_nobody_tells_are_refused_with_a_sentence(pack):
    """Not by a size of tensors that do not match."""
    with pytest.raises(ValueError, match="take the concept's region away"):
        pack.cells.cells_of(torch.ones(34, 34), 31, LATENT, None)


@pytest.mark.parametrize(("factor", "size"), [(1.5, 64), (2.0, 136)])
def test_a_region_is_drawn_where_deep_shrink_changes_the_sizes_of_layers(draw, factor, size):
    """A region beside PatchModelAddDownscale: nearly white it draws what none draws, and half black something else."""

    def drawn(left: float | None, right: float = 1.0) -> np.ndarray:
        graph = Workflow()
        model, clip, vae = load(graph)
        shrunk = {"block_number": 2, "downscale_factor": factor, "start_percent": 0.0, "end_percent": 1.0}
        shrunk |= {"downscale_after_skip": True, "downscale_method": "bicubic", "upscale_method": "bicubic"}
        model = graph.add("PatchModelAddDownscale", model=model, **shrunk)[0]
        settings = {}
        if left is not None:
            whole, half = (graph.add("SolidMask", value=v, width=w, height=size)[0] for v, w in
                           ((right, size), (left, size // 2)))
            mask = graph.add("MaskComposite", destination=whole, source=half, x=0, y=0, operation="multiply")[0]
            settings["region"] = mask
        model, clip = apply(graph, model, clip, "teddy.safetensors", **settings)
        prompts = encode(graph, clip, "a photo of a teddy_t"), encode(graph, clip, "")
        return draw(graph, show(graph, sample(graph, model, *prompts, size=size), vae))

    everywhere, nearly, half = drawn(None), drawn(0.999), drawn(0.0)
    assert mean_difference(nearly, everywhere) < 0.5 < mean_difference(half, everywhere)
