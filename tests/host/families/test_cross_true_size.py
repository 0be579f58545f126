"""Families with text cross-attention at their true size, without memory: what the host finds, and our files."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
import torch

from builders.places import ROOT
from builders.true_sizes import TRANSFORMERS
from perfusion_ops import Concept
from perfusion_ops.concept.file import concept_bytes

BLOCKS, WIDTH, CONTEXT = 28, 2048, 1024


@pytest.mark.parametrize("name", list(TRANSFORMERS))
def test_the_host_finds_the_family_and_its_layers_in_a_file(pack, name):
    """The model that people load is known by its weights' names and shapes, and a file for it is as small as we say."""
    import comfy.model_detection
    import comfy.supported_models

    facts = TRANSFORMERS[name]
    config = getattr(comfy.supported_models, facts.config)(facts.unet)
    config.set_inference_dtype(torch.bfloat16, None)
    model = config.get_model({}, "", device=torch.device("meta"))
    net = model.diffusion_model
    found = comfy.model_detection.model_config_from_unet(net.state_dict(), "")
    assert type(found) is type(config)
    detected = {key: found.unet_config[key] for key in facts.unet}
    assert detected == facts.unet
    family = pack.family.family_of(SimpleNamespace(model=model))
    assert (family.name, family.context_width(net)) == (name, CONTEXT)
    widths = family.value_widths(net)
    assert widths == {f"blocks.{block}.cross_attn": WIDTH for block in range(BLOCKS)}
    assert _kilobytes(name, widths) == _stated(family.title)


def _kilobytes(name: str, widths: dict[str, int]) -> list[str]:
    generator = torch.Generator().manual_seed(0)

    def normal(size: int) -> torch.Tensor:
        return torch.randn(size, generator=generator)

    heard = normal(CONTEXT)
    known = {"encoder": "0" * 16, "base_model": "0" * 16, "training": "done=400"}
    both = {"word": "my_subject", "superclass": "teddy bear", "base_family": name}
    both["value_residuals"] = {layer: normal(width) for layer, width in widths.items()}
    learned = Concept(
        **both,
        target_input=heard,
        target_dual=heard.clone(),
        superclass_encoding=normal(CONTEXT),
        word_embeddings={encoder: normal(width) for encoder, width in TRANSFORMERS[name].text_encoders.items()},
        metadata=known | {"statistics": "0" * 16},
    )
    placed = Concept(**both, gate="position", metadata=known)
    files = [concept_bytes(concept, "it", precision) for concept in (learned, placed) for precision in ("fp16", "int8")]
    return [f"{len(file) / 1000:.0f}" for file in files]


def _stated(title: str) -> list[str]:
    """Kilobytes with a learned word in fp16 and int8, and with a position gate, as docs/models.md says."""
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| {re.escape(title)} \| (\d+), (\d+) \| (\d+), (\d+) \|", page, re.MULTILINE)
    return list(row)
