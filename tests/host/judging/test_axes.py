"""What a user writes as an axis' values."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("text", ["", " ", ",", "\n, ,\n"])
def test_values_without_a_number_are_the_papers_range(pack, text):
    """A comma that was left behind is no axis without cells."""
    assert pack.axes.Axis.of("bias", text, []).values == (0.3, 0.6, 0.9)


def test_values_stand_between_commas_or_on_lines_and_once_each(pack):
    """Lists that were copied from elsewhere can be used as they are."""
    assert pack.axes.Axis.of("bias", "0.5,\n0.7, 0.50,", []).values == (0.5, 0.7)
    assert pack.axes.Axis.of("key_locking", "global gated,local", []).labels == ("global gated", "local")
