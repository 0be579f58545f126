"""Concept files of format 2: a position gate, so value residuals and nothing else."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from builders.concepts import SD1_LAYERS, SDXL_LAYERS, position_concept, small_concept
from perfusion_ops.concept.concept import GateKind
from perfusion_ops.concept.file import ConceptFileError, concept_bytes, parse_concept
from perfusion_ops.files.strict_safetensors import read_header


def test_a_position_concept_comes_back_as_it_was():
    """A concept with a position gate survives its file: every bit in fp32, and what it is in every precision."""
    concept = position_concept()
    again = parse_concept(concept_bytes(concept, "x", "fp32"), "x")
    assert again.gate is GateKind.POSITION and again.metadata == concept.metadata and not again.word_embeddings
    assert all(torch.equal(again.value_residuals[name], r) for name, r in concept.value_residuals.items())
    rough = parse_concept(concept_bytes(concept, "x", "int8"), "x")
    for name, residual in concept.value_residuals.items():
        assert (rough.value_residuals[name] - residual).abs().max() <= residual.abs().max() / 254 * 1.001


def test_only_position_concepts_are_written_in_format_2():
    """Files with a learned word stay readable by every version of the pack."""
    assert read_header(concept_bytes(small_concept(), "x")).metadata["perfusion.format"] == "1"
    header = read_header(concept_bytes(position_concept(), "x"))
    assert header.metadata["perfusion.format"] == "2" and header.metadata["perfusion.gate"] == "position"
    assert set(header.entries) == {"value_residuals"}


@pytest.mark.parametrize(("layers", "limit"), [(SD1_LAYERS, 26_500), (SDXL_LAYERS, 168_500)])
def test_a_position_file_is_smaller_than_one_with_a_learned_word(layers, limit):
    """A concept costs kilobytes, in fp16 too."""
    assert len(concept_bytes(position_concept(layers), "x", "fp16")) < limit


def test_a_position_concept_with_a_word_is_refused():
    """What a file cannot hold is refused, not dropped."""
    with pytest.raises(ValueError, match="has a position gate; expected value residuals alone"):
        dataclasses.replace(small_concept(), gate=GateKind.POSITION)
    with pytest.raises(ConceptFileError, match="under the key 'gate'"):
        concept_bytes(position_concept(metadata={"gate": "x"}), "x")


def test_a_concept_of_some_layers_is_as_short_as_they_are():
    """Half of the layers make about half of a file, and come back as these layers, in every precision."""
    later = dict(list(SDXL_LAYERS.items())[35:])
    whole, half = (position_concept(layers) for layers in (SDXL_LAYERS, later))
    share = sum(later.values()) / sum(SDXL_LAYERS.values())
    for precision in ("fp32", "fp16", "int8"):
        data = concept_bytes(half, "x", precision)
        assert len(data) / len(concept_bytes(whole, "x", precision)) < share + 0.02
        again = parse_concept(data, "x").value_residuals
        assert {name: residual.shape[0] for name, residual in again.items()} == later
    exact = parse_concept(concept_bytes(half, "x", "fp32"), "x").value_residuals
    assert all(torch.equal(exact[name], residual) for name, residual in half.value_residuals.items())
