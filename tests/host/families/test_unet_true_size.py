"""Relatives of Stable Diffusion at their true size, without memory: what the host finds, layers, and our files."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
import torch

from builders.file_sizes import kilobytes
from builders.places import ROOT
from builders.true_sizes import UNET_RELATIVES

LAYERS = {
    "unclip_l": (16, 0.87),
    "unclip_h": (16, 0.87),
    "ssd_1b": (34, 1.33),
    "vega": (15, 0.75),
    "koala_700m": (21, 0.78),
    "koala_1b": (30, 1.16),
}
"""Model -> how many layers a concept has, and the U-Net's billions."""


@pytest.mark.parametrize("name", list(UNET_RELATIVES))
def test_the_host_finds_the_relative_and_its_layers_in_a_file(pack, name):
    """The models that people load are told apart by their weights' shapes; files for them are as small as we say."""
    import comfy.model_detection

    facts, (count, billions) = UNET_RELATIVES[name], LAYERS[name]
    config = facts.configuration()
    config.set_inference_dtype(torch.float16, None)
    model = config.get_model({}, "", device=torch.device("meta"))
    net = model.diffusion_model
    found = comfy.model_detection.model_config_from_unet(net.state_dict(), "")
    assert type(found).__name__ == facts.config
    family = pack.family.family_of(SimpleNamespace(model=model))
    widths = family.value_widths(net)
    assert (family.name, family.context_width(net), len(widths)) == (facts.name, facts.context, count)
    assert round(sum(parameter.numel() for parameter in net.parameters()) / 1e9, 2) == billions
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    row = rf"^\| {re.escape(facts.title)} \| (\d+) \| (\d[^|]*) \|$"
    assert re.findall(row, page, re.MULTILINE) == [(str(count), kilobytes(facts.name, widths))]
