"""How pictures are scored without another model."""

from __future__ import annotations


def test_the_plain_models_own_pictures_are_the_ends_of_both_scales(pack):
    """The row of the plain model says what its text says: identity 0, agreement 1."""
    found = {"plain": (0.2, 0.4), "concept": (0.6, 0.5)}
    judge = object.__new__(pack.judges.ModelJudge)
    judge.plain, judge.concept, judge.own, judge.ends = "plain", "concept", 1.0, None
    judge._evidence = lambda _drawn, drawer: found[drawer]
    plain, drawn = [object()], [object()]
    assert judge.score(plain, plain) == pack.judges.Score(0.0, 1.0)
    assert judge.score(drawn, plain) == pack.judges.Score((0.6 - 0.2) / (1.0 - 0.2), 0.5 / 0.4)
