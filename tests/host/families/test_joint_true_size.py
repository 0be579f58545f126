"""Models that learn by position at their true sizes, without memory: what the host finds, and the sizes of files."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
import torch

from builders.file_sizes import kilobytes
from builders.joint_true_sizes import TRUE_SIZES
from builders.places import ROOT

LAYERS = {
    "zimage": (30, "layers.29.attention", 3840, 6.2),
    "lumina2": (26, "layers.25.attention", 768, 2.6),
    "flux1": (57, "single_blocks.37", 3072, 11.9),
    "chroma": (57, "single_blocks.37", 3072, 8.9),
    "newbie": (36, "layers.35.attention", 768, 3.5),
    "ovis": (33, "single_blocks.26", 3072, 7.4),
    "longcat": (30, "single_blocks.19", 3072, 6.3),
    "chroma_radiance": (57, "single_blocks.37", 3072, 9.5),
    "zimage_pixel": (30, "layers.29.attention", 3840, 6.5),
    "cosmos2_large": (36, "blocks.35.cross_attn", 5120, 14.3),
    "klein4b": (25, "single_blocks.19", 3072, 3.9),
    "klein9b": (32, "single_blocks.23", 4096, 9.1),
    "flux2": (56, "single_blocks.47", 6144, 32.2),
    "qwen_image": (60, "transformer_blocks.59.attn", 3072, 20.4),
}
"""Model -> how many layers a concept has, the last one's name, the width of its values, and the model's billions."""


@pytest.mark.parametrize("name", list(LAYERS))
def test_the_host_finds_the_family_and_its_layers_in_a_file(pack, name):
    """The models that people load are told apart by their weights' shapes; files for them are as small as we say."""
    import comfy.model_detection
    import comfy.supported_models

    size, (count, last, width, billions) = TRUE_SIZES[name], LAYERS[name]
    config = getattr(comfy.supported_models, size.small.config)(size.unet)
    config.set_inference_dtype(torch.bfloat16, None)
    model = config.get_model({}, device=torch.device("meta"))
    net = model.diffusion_model
    found = comfy.model_detection.model_config_from_unet(net.state_dict(), "")
    assert type(found) is type(config)
    read = size.changes.keys() & found.unet_config.keys()
    assert read and {key: found.unet_config[key] for key in read} == {key: size.changes[key] for key in read}
    family = pack.family.family_of(SimpleNamespace(model=model))
    widths = family.value_widths(net)
    assert family.name == size.family and len(widths) == count and list(widths)[-1] == last
    assert set(widths.values()) == {width}
    assert round(sum(parameter.numel() for parameter in net.parameters()) / 1e9, 1) == billions
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    row = rf"^\| {re.escape(size.title)} \| all, {count} \|(?:[^|]*\|){{4}} (\d+), (\d+) \|$"
    ((*shown,),) = re.findall(row, page, re.MULTILINE)
    # The page's concept has another word and fewer notes: some hundred bytes.
    found = kilobytes(size.family, widths).split(", ")
    assert all(abs(int(here) - int(there)) <= 1 for here, there in zip(found, shown, strict=True))
