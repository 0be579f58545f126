"""Clip skip in words: which layers CLIP Set Last Layer changes, and what a concept's file says of it."""

from __future__ import annotations

import pytest

from builders.narrow_clip import narrow_clip


@pytest.mark.parametrize(
    ("family", "chosen"),
    [("sd1", {-1: None, -2: "-2", -24: None}), ("sd2", {-1: "-1", -2: None}), ("sdxl", {-1: "-1", -2: None})],
)
def test_only_a_layer_that_changes_the_encodings_is_told(pack, family, chosen):
    """Set to the text encoder's own layer, or beyond the last, the node changes nothing, and so nothing in the file."""
    clip, kind = narrow_clip(family), pack.last_layer.LastLayer
    encoders = pack.clip.text_encoders(clip)
    before = [(encoder.layer, encoder.layer_idx) for encoder in encoders.values()]
    assert kind.of_clip(clip, encoders.values()).metadata == {}
    for layer, told in chosen.items():
        clip.layer_idx = layer
        assert kind.of_clip(clip, encoders.values()).metadata == ({} if told is None else {"last_layer": told})
    assert [(encoder.layer, encoder.layer_idx) for encoder in encoders.values()] == before


def test_a_file_that_tells_nothing_of_its_text_encoder_is_not_judged(pack, pack_concept):
    """Concepts of other programs have no fingerprint; a number that is none comes of no training of ours."""
    concept, kind = pack_concept("rex", "dog"), pack.last_layer.LastLayer
    told = [{}, {"encoder": "ab"}, {"encoder": "ab", "last_layer": "-2"}, {"encoder": "ab", "last_layer": "two"}]
    found = [kind.of_concept(pack.ops.Concept(**{**vars(concept), "metadata": metadata})) for metadata in told]
    assert found == [None, kind(None), kind(-2), None]
