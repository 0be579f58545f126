"""Concept files: what is written is what is read, in every precision."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import safetensors.torch
import torch

from builders.concepts import METADATA, SD1_LAYERS, SDXL_LAYERS, SMALL, random_concept, small_concept
from perfusion_ops.concept.concept import Concept
from perfusion_ops.concept.file import concept_bytes, load_concept, parse_concept, save_concept

VECTORS = ("target_input", "target_dual", "superclass_encoding")
GROUPS = ("word_embeddings", "value_residuals", "key_residuals")


def reloaded(concept: Concept, precision: str) -> Concept:
    return parse_concept(concept_bytes(concept, "x", precision), "x")


def all_tensors(concept: Concept) -> dict[str, torch.Tensor]:
    tensors = {name: getattr(concept, name) for name in VECTORS}
    return tensors | {f"{g}/{n}": t for g in GROUPS for n, t in getattr(concept, g).items()}


def same_but_numbers(a: Concept, b: Concept) -> bool:
    return all(getattr(a, n) == getattr(b, n) for n in ("word", "superclass", "base_family", "metadata"))


def test_fp32_keeps_every_bit(tmp_path):
    """A concept saved in fp32 is the concept that was trained."""
    concept = random_concept(SMALL, 12, {"l": 9, "g": 130}, keys=True, metadata=METADATA)
    save_concept(concept, tmp_path / "rex.safetensors", "fp32")
    loaded = load_concept(tmp_path / "rex.safetensors")
    before, after = all_tensors(concept), all_tensors(loaded)
    assert before.keys() == after.keys() and same_but_numbers(concept, loaded)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_fp16_is_within_half_a_unit_of_eleven_bits():
    """The default file loses no more than half precision must."""
    concept = random_concept(SD1_LAYERS, 768, {"l": 768}, keys=True)
    before, after = all_tensors(concept), all_tensors(reloaded(concept, "fp16"))
    scale = before["target_dual"].norm() / after["target_dual"].norm()
    after["target_dual"] = after["target_dual"] * scale
    errors = {name: ((after[name] - t).abs() / (t.abs() + 2.0**-14)).max().item() for name, t in before.items()}
    assert max(errors.values()) <= 2.0**-11 * 1.01
    assert min(errors.values()) > 2.0**-13, "a file that lost nothing would not be fp16"


def test_int8_values_are_within_a_254th_of_their_layer():
    """The smallest file keeps quiet layers as well as loud ones."""
    concept = random_concept(SDXL_LAYERS, 2048, {"l": 768, "g": 1280})
    loaded = reloaded(concept, "int8")
    errors = [
        (loaded.value_residuals[name] - residual).abs().max() / residual.abs().max()
        for name, residual in concept.value_residuals.items()
    ]
    assert max(errors) <= 1 / 254 * 1.001
    one_scale = max(r.abs().max() for r in concept.value_residuals.values()) / 254
    smallest = min(r.abs().max() for r in concept.value_residuals.values())
    assert one_scale / smallest > 1, "one scale for all layers would erase the smallest"


def test_int8_embeddings_are_within_a_254th_of_their_block_and_encodings_are_fp16():
    """The smallest file keeps the word that prompts are read by."""
    concept = random_concept(SMALL, 12, {"l": 9, "g": 130})
    loaded = reloaded(concept, "int8")
    for name, embedding in concept.word_embeddings.items():
        for before, after in zip(embedding.split(64), loaded.word_embeddings[name].split(64), strict=True):
            assert (before - after).abs().max() <= before.abs().max() / 254 * 1.001
    assert torch.equal(loaded.target_input, concept.target_input.half().float())


def test_all_zero_layers_and_subnormal_numbers_survive_int8():
    """A layer that learned nothing does not fill the picture with numbers that are none."""
    residuals = {"a": torch.zeros(4), "b": torch.full((4,), 1e-44), "c": torch.ones(4)}
    loaded = reloaded(small_concept(value_residuals=residuals), "int8")
    assert torch.equal(loaded.value_residuals["a"], residuals["a"])
    assert loaded.value_residuals["b"].abs().max() < 1e-38
    assert torch.allclose(loaded.value_residuals["c"], residuals["c"])


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_similarities_survive_rounding(precision):
    """A saved concept opens its gate at the same words as the trained one.

    With the spread of SD 1.5's own text encoder: its C has a condition number of 3.9e3.
    """
    covariance = clip_covariance()
    encodings = torch.randn(2000, 768, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    encodings = encodings @ torch.linalg.cholesky(covariance).mT
    duals = torch.linalg.solve(covariance, encodings[:8].mT).mT
    for target_input, dual in zip(encodings, duals, strict=False):
        concept = small_concept(
            target_input=target_input.float(), target_dual=dual.float(), superclass_encoding=encodings[9].float()
        )
        loaded = reloaded(concept, precision)
        exact, rounded = (similarity(encodings, c) for c in (concept, loaded))
        assert (exact - rounded).abs().max() < 1e-4
        coarse = dataclasses.replace(loaded, target_dual=(dual / dual.abs().max() * 127).round().float())
        assert (exact - similarity(encodings, coarse)).abs().max() > 3e-4, "int8 for the dual would be too coarse"


def clip_covariance() -> torch.Tensor:
    import perfusion_pytorch

    path = Path(perfusion_pytorch.__file__).parent / "data" / "covariance_CLIP_ViT-L-14.pt"
    covariance = torch.load(path, weights_only=True).double()
    return (covariance + covariance.mT) / 2


def similarity(encodings: torch.Tensor, concept: Concept) -> torch.Tensor:
    dual, target_input = concept.target_dual.double(), concept.target_input.double()
    return encodings @ dual / (target_input @ dual)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_the_scale_of_the_dual_is_free(scale):
    """Whatever the scale of the text statistics, the dual fits in half precision."""
    concept = small_concept()
    encodings = torch.randn(50, 12, dtype=torch.float64)
    scaled = dataclasses.replace(concept, target_dual=concept.target_dual * scale)
    loaded = reloaded(scaled, "fp16")
    assert 0.5 <= loaded.target_dual.abs().max() < 1
    assert torch.allclose(similarity(encodings, loaded), similarity(encodings, concept), atol=2e-3)


def test_the_same_concept_gives_the_same_bytes_in_any_order_of_layers():
    """The same concept is the same file, so that fingerprints and downloads can be compared."""
    concept = small_concept()
    backwards = dataclasses.replace(
        concept, **{g: dict(reversed(getattr(concept, g).items())) for g in (*GROUPS, "metadata")}
    )
    for precision in ("fp32", "fp16", "int8"):
        assert concept_bytes(concept, "a", precision) == concept_bytes(backwards, "b", precision)
    other = dataclasses.replace(concept, word="<tom>")
    assert concept_bytes(concept, "a") != concept_bytes(other, "a")


def test_other_programs_can_read_the_file():
    """A concept can be read without this pack, by any reader of safetensors."""
    concept = small_concept()
    tensors = safetensors.torch.load(concept_bytes(concept, "x", "fp32"))
    assert torch.equal(tensors["encodings"][0], concept.target_input)
    flat = torch.cat([concept.value_residuals[name] for name in ("blocks.2.attn2", "blocks.10.attn2", "middle.attn2")])
    assert torch.equal(tensors["value_residuals"], flat)


def test_an_unknown_precision_is_named():
    """A precision that does not exist is named, with those that do."""
    with pytest.raises(ValueError, match="'fp8'; expected one of fp32, fp16, int8"):
        concept_bytes(small_concept(), "x", "fp8")
