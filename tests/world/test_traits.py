"""Traits that tell one individual from another."""

from __future__ import annotations

from pixelworld.scene import Traits
from pixelworld.traits import leaked_traits


def test_leakage_looks_only_at_traits_that_tell_the_two_apart():
    """Two subjects that share a trait are not said to mix because both show it."""
    own = Traits("red", "blue", "stripes", "none")
    other = Traits("green", "blue", "spots", "none")
    assert leaked_traits(own, own, other) == [False, False]
    assert leaked_traits(Traits("green", "blue", "stripes", "none"), own, other) == [True, False]
    assert leaked_traits(other, own, own) == []
