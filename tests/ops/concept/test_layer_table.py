"""The layer table of a concept file: a short text that names every layer, and reads back as it was written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from builders.concepts import SD1_LAYERS, SDXL_LAYERS
from perfusion_ops.concept.layer_table import decode_layers, encode_layers


@given(
    st.dictionaries(
        st.lists(st.sampled_from(["a", "b_c", "0", "1", "2", "9", "10", "007"]), min_size=1, max_size=4).map(".".join),
        st.integers(1, 3),
        min_size=1,
        max_size=40,
    )
)
def test_layer_tables_round_trip(widths):
    """Every residual comes back to the layer that it was trained for."""
    assert decode_layers(*encode_layers(widths)) == widths


def test_layer_tables_are_short():
    """The names of 70 layers do not make up a third of a file."""
    assert encode_layers(SD1_LAYERS) == (
        "*.1.transformer_blocks.0.attn2 input_blocks.{1-2,4-5,7-8} middle_block output_blocks.{3-11}",
        "320x2 640x2 1280x6 640x3 320x3",
    )
    assert len(" ".join(encode_layers(SDXL_LAYERS))) <= 254 < len(" ".join(SDXL_LAYERS)) // 10
