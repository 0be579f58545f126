"""Which subjects are drawn together."""

from __future__ import annotations

from collections import Counter

from proof.specs import Subject
from proof.studies import circles


def test_every_subject_is_in_six_different_threes():
    """Every subject counts as much as the others in pictures of three."""
    subjects = [Subject(index) for index in range(8)]
    threes = circles(subjects)
    assert len({frozenset(three) for three in threes}) == len(threes) == 16
    assert set(Counter(subject for three in threes for subject in three).values()) == {6}
    assert circles(subjects[:3]) == circles(subjects[:2]) == []
