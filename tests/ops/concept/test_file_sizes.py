"""Concept files are small, whatever their texts, and so are their layer tables."""

from __future__ import annotations

import bisect
import dataclasses

import pytest

from builders.concepts import METADATA, SD1_LAYERS, SDXL_LAYERS, random_concept
from perfusion_ops.concept.concept import Concept
from perfusion_ops.concept.file import ConceptFileError, concept_bytes
from perfusion_ops.concept.file_schema import MAX_METADATA_BYTES


@pytest.mark.parametrize(
    ("layers", "width", "embeddings", "precision", "typical", "limit"),
    [
        (SD1_LAYERS, 768, {"l": 768}, "fp16", 32_256, 32_768),
        (SD1_LAYERS, 1024, {"h": 1024}, "fp16", 34_304, 34_816),
        (SDXL_LAYERS, 2048, {"l": 768, "g": 1280}, "int8", 100_000, 100_000),
    ],
)
def test_files_hold_their_size_whatever_their_texts(layers, width, embeddings, precision, typical, limit):
    """A concept stays below the size that the README promises, whatever its notes."""
    assert (len(SD1_LAYERS), sum(SD1_LAYERS.values())) == (16, 12_480)
    assert (len(SDXL_LAYERS), sum(SDXL_LAYERS.values())) == (70, 83_200)
    concept = random_concept(layers, width, embeddings, family="sdxl", metadata=METADATA)
    assert len(concept_bytes(concept, "x", precision)) <= typical

    def too_wordy(length: int) -> bool:
        try:
            return len(concept_bytes(with_note(concept, length), "x", precision)) == 0
        except ConceptFileError as error:
            assert "bytes of metadata; expected at most 1,180" in str(error)
            return True

    longest = bisect.bisect_left(range(MAX_METADATA_BYTES), True, key=too_wordy) - 1
    fullest = concept_bytes(with_note(concept, longest), "x", precision)
    assert typical - 2_000 < len(fullest) <= limit


def test_forty_five_concepts_fit_on_a_floppy():
    """1.44 MB, FAT12 of 512-byte clusters, with the metadata that Train Perfusion Concept writes, and a date."""
    concept = random_concept(SD1_LAYERS, 768, {"l": 768}, metadata=METADATA)
    concept = dataclasses.replace(concept, word="grandmothers_teddy", superclass="teddy bear")
    clusters = -(-len(concept_bytes(concept, "x", "fp16")) // 512)
    assert 45 * clusters <= 2_847 < 45 * (clusters + 1)


def with_note(concept: Concept, length: int) -> Concept:
    return dataclasses.replace(concept, metadata=METADATA | {"note": "x" * length})
