"""Wan at its true sizes, without memory: what the host finds in a file, and the sizes of concept files."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
import torch

from builders.file_sizes import kilobytes
from builders.places import ROOT

SIZES = {
    "Wan 2.1 1.3B": ("wan21", 1536, 8960, 30, 16),
    "Wan 14B, an expert": ("wan21", 5120, 13824, 40, 16),
    "Wan 2.2 5B": ("wan22", 3072, 14336, 30, 48),
}
"""Title -> family, width, width of the MLPs, blocks, channels of a latent."""


@pytest.mark.parametrize("title", list(SIZES))
def test_the_host_finds_the_family_and_its_layers_in_a_file(pack, title):
    """The models that people load are told apart by their weights' shapes; files for them are as small as we say."""
    import comfy.ldm.wan.model
    import comfy.model_detection
    import comfy.ops

    name, width, mlp, blocks, channels = SIZES[title]
    sizes = {"dim": width, "ffn_dim": mlp, "num_layers": blocks, "num_heads": width // 128}
    sizes |= {"in_dim": channels, "out_dim": channels}
    net = comfy.ldm.wan.model.WanModel(
        **sizes, device=torch.device("meta"), dtype=torch.bfloat16, operations=comfy.ops.disable_weight_init
    )
    config = comfy.model_detection.model_config_from_unet(net.state_dict(), "")
    assert {key: config.unet_config[key] for key in sizes} == sizes
    model = SimpleNamespace(model_config=config, diffusion_model=net)
    family = pack.family.family_of(SimpleNamespace(model=model))
    assert (family.name, family.context_width(net)) == (name, width)
    assert config.latent_format.latent_channels == channels
    assert family.value_widths(net) == {f"blocks.{block}.cross_attn": width for block in range(blocks)}
    files = [kilobytes(name, family.value_widths(net), learned) for learned in (None, (width, "umt5xxl", 4096))]
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    assert re.findall(rf"^\| {re.escape(title)} \| (\d[^|]*) \| (\d[^|]*) \|$", page, re.MULTILINE) == [tuple(files)]
