"""From drawings to the rows of a table."""

from __future__ import annotations

import numpy as np

from pixelworld import art
from proof.recipes import drawing_of
from proof.specs import OURS, Subject, result_key
from proof.tables import IDENTITY, TAKEN, beside_points, grouped


def test_companion_points_are_one_at_full_identity_with_no_more_traits_than_chance():
    """A method reaches 1 only if the subject is right and nothing of it shows on others."""
    samples = np.zeros((3, 4, 4))
    samples[:, :, IDENTITY] = 0.2, 1.0, 0.6, 0.2
    samples[:, :, TAKEN] = 0.25, 0.25, 0.625, 1.0
    np.testing.assert_allclose(beside_points(samples), [(1, 1), (0.5, 0.5), (0, 0)], atol=1e-12)


def test_three_subjects_have_a_wider_picture_and_results_of_their_own():
    """Results of two and three subjects are never mixed up."""
    subjects = [Subject(index) for index in range(3)]
    assert art.width_for(2) == art.SIZE < art.width_for(3) == art.WIDE
    groups = [subjects, subjects[:2]]
    keys = {result_key(each) for at in (False, True) for each in grouped(drawing_of(OURS), groups, 8, at)}
    assert len(keys) == 4
