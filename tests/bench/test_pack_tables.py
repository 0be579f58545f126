"""What the table of other people's packs says of one picture or one error."""

import numpy as np
import pytest

from builders.other_packs.unet import UNET_ROWS
from pack_tables import FULL, SILENT, TOLD, brief, effect_of, printed

PICTURES = [np.array([[0, value]]) for value in (10, 20, 30)]


@pytest.mark.parametrize(
    "drawn, said, expected",
    [((1, 2), "", FULL), ((0, 0), "The concept has no effect here", TOLD), ((0, 0), "", SILENT), ((1, 1), "", SILENT)],
)
def test_a_concept_that_nobody_sees_or_says_is_called_silent(drawn, said, expected):
    """Strengths 1 and 2 must differ from each other and from the superclass, or a node must say why they do not."""
    once, twice = (PICTURES[number] for number in drawn)
    assert effect_of(once, twice, PICTURES[0], said) == expected


def test_one_flat_colour_is_no_measurement():
    assert "not measured" in effect_of(np.ones((2, 2)), PICTURES[1], PICTURES[0], "")


def test_an_error_is_told_by_its_first_sentence_and_names_no_place_of_a_machine():
    error = "node 12: cannot import name 'a|b' from 'comfy.x' (/some/where/x.py). Connect another. Or none."
    assert brief(error) == "cannot import name 'a/b' from 'comfy.x'"


def test_what_a_stopped_run_printed_is_recorded_as_it_was_tried(tmp_path):
    """A run of an hour that was stopped must not have been for nothing, and must not be filled up."""
    log = "Loading.\nComfyUI-ppm | CLIPNegPip | full effect\nComfyUI_Noise | BNK_Unsampler | refused: A | B\nEND\n"
    rows = printed(log, tmp_path, UNET_ROWS, "sdxl")
    assert [row["what"] for row in rows] == ["CLIPNegPip", "BNK_Unsampler"]
    assert [row["SDXL"] for row in rows] == ["full effect", "refused: A | B"]
