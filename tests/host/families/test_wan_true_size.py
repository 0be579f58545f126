"""Wan at its true sizes, without memory: what the host finds in a file, and the sizes of concept files."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
import torch

from builders.places import ROOT
from perfusion_ops import Concept
from perfusion_ops.concept.file import concept_bytes

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
    files = [_kilobytes(name, width, blocks, learned) for learned in (False, True)]
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    assert re.findall(rf"^\| {re.escape(title)} \| (\d[^|]*) \| (\d[^|]*) \|$", page, re.MULTILINE) == [tuple(files)]


def _kilobytes(name: str, width: int, blocks: int, learned: bool) -> str:
    generator = torch.Generator().manual_seed(0)

    def normal(size: int) -> torch.Tensor:
        return torch.randn(size, generator=generator)

    metadata = {"encoder": "0" * 16, "base_model": "0" * 16, "training": "done=400"}
    parts = {"gate": "position"}
    if learned:
        heard = normal(width)
        parts = {"target_input": heard, "target_dual": heard.clone(), "superclass_encoding": normal(width)}
        parts |= {"word_embeddings": {"umt5xxl": normal(4096)}}
        metadata |= {"statistics": "0" * 16}
    concept = Concept(
        **{"word": "my_subject", "superclass": "teddy bear", "base_family": name, "metadata": metadata, **parts},
        value_residuals={f"blocks.{block}.cross_attn": normal(width) for block in range(blocks)},
    )
    return ", ".join(f"{len(concept_bytes(concept, 'it', precision)) / 1000:.0f}" for precision in ("fp16", "int8"))
