"""How large the pictures are that are drawn and compared."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture
def of_kind(pack, loaded):
    """``of_kind("Flux2")``: a MODEL with another of the host's kinds of latents."""
    import comfy.latent_formats

    def make(name: str):
        model = loaded[0].clone()
        model.add_object_patch("latent_format", getattr(comfy.latent_formats, name)())
        return model

    return make


@pytest.mark.parametrize(
    ("kind", "told", "pixels"),
    [("SD15", {}, 64), ("Flux2", {}, 128), ("Flux2", {"downscale_ratio_spacial": 8}, 64), ("ChromaRadiance", {}, 8)],
)
def test_pictures_are_as_large_as_the_models_cells_make_them(pack, of_kind, kind, told, pixels):
    """Reports that people post name the size; the user's own pictures are compared at it, and fill no memory."""
    latent = {"samples": torch.zeros(1, 4, 8, 16), **told}
    assert pack.drawing.size_of(of_kind(kind), latent) == (pixels, 2 * pixels)
    one = {"model": of_kind(kind), "latent_image": latent, "images": torch.rand(1, 512, 512, 3)}
    (shot,) = pack.inputs.connected_pictures(one)
    assert abs(shot.pixels.shape[0] - 2**0.5 * pixels) < 8
