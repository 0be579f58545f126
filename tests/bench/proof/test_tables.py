"""From drawings to the rows of a table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pixelworld import art
from proof.methods import taught_of
from proof.recipes import drawing_of
from proof.scenes import texts_of
from proof.specs import OURS, PLACED, Subject, result_key
from proof.tables import IDENTITY, TAKEN, beside_points, control_drawings, control_samples, group_samples, grouped
from proof.work import Store


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


def test_a_misdrawn_trait_is_no_leak(tmp_path):
    """A subject that shows the other's mark whether the other is learned or not owes it to nobody."""
    first, second = Subject(0), Subject(1)
    pair = drawing_of(OURS).of(first, second)
    store, shown = Store(tmp_path), {pair: (True, True), pair.only(first): (True, False), pair.only(second): (0, 0)}
    for drawing, leaks in shown.items():
        figures = zip(leaks, (second, first), strict=True)
        row = [{"identity": 0.9, "leaks": {str(other.index): [leak, False]}} for leak, other in figures]
        store.keep_record("drawing", result_key(drawing), {"rows": [row, [None, None]]})
    assert set(control_drawings([pair])) == {pair.only(first), pair.only(second)}
    np.testing.assert_allclose(group_samples([pair], store)[:, -1], [0.5, 0.5])
    np.testing.assert_allclose(control_samples([pair], store), [0.5, 0.0])


def test_a_subject_that_is_not_learned_is_its_superclass():
    """The other subject's word would name nothing, and what it learned would still be in force."""
    pair = replace(drawing_of(OURS).of(Subject(0), Subject(1)), scene=PLACED, prompts=1)
    alone = pair.only(Subject(1))
    assert alone.subjects == pair.subjects and alone.method == OURS
    (text,), (both,) = texts_of(alone), texts_of(pair)
    assert text == both.replace("<one>", "cat")
    (taught,) = taught_of(alone, [{}, {"word": 1}])
    assert (taught.word, taught.state) == ("<two>", {"word": 1})
