"""Scores from errors and encodings, against what they must give by their definition."""

from __future__ import annotations

import math

import pytest
import torch

from perfusion_ops.judging.scores import between, evidence, mean_cosine, mean_cosine_within


def test_evidence_is_the_mean_log_ratio_of_the_errors():
    """A condition that halves the error at every level is worth ln 2, whatever the level's own size."""
    without = torch.tensor([[8.0, 1.0], [0.02, 1.0]])
    with_it = torch.tensor([[4.0, 1.0], [0.01, 2.0]])
    torch.testing.assert_close(evidence(without, with_it), torch.tensor([math.log(2), -math.log(2) / 2]).double())


def test_equal_errors_are_no_evidence_even_at_zero():
    """A model that makes no error tells nothing, and nothing breaks."""
    assert evidence(torch.zeros(3, 2), torch.zeros(3, 2)).tolist() == [0.0, 0.0]


def test_a_scale_has_its_ends_and_none_without_a_span():
    """0 and 1 are what the table says they are; a scale that is upside down gives no number."""
    assert (between(2.0, 2.0, 4.0), between(4.0, 2.0, 4.0), between(5.0, 2.0, 4.0)) == (0.0, 1.0, 1.5)
    assert math.isnan(between(1.0, 2.0, 2.0)) and math.isnan(between(1.0, 2.0, 1.0))


def test_cosines_ignore_length():
    """Pictures are compared by direction, as CLIP's encodings are."""
    a, b = torch.tensor([[2.0, 0.0]]), torch.tensor([[5.0, 0.0], [0.0, 0.1]])
    assert mean_cosine(a, b) == pytest.approx(0.5)
    assert mean_cosine_within(b) == pytest.approx(0.0) and mean_cosine_within(a) == 1.0
