"""What makes an individual of its class."""
from dataclasses import dataclass, fields

import numpy as np

from . import art


@dataclass(frozen=True)
class Traits:
    """What no caption can name: two body colours, a pattern and a mark."""

    first: str
    second: str
    pattern: str
    mark: str


def sample_traits(rng: np.random.RandomState) -> Traits:
    """Two different body colours, a pattern and a mark, all equally likely."""
    first, second = rng.choice(list(art.BODY_COLOURS), 2, replace=False)
    return Traits(str(first), str(second), str(rng.choice(art.PATTERNS)), str(rng.choice(art.MARKS)))


def leaked_traits(read: Traits, own: Traits, other: Traits) -> list[bool]:
    """Of the traits in which two individuals differ: does ``own``'s figure show the ``other``'s?"""
    names = [trait.name for trait in fields(Traits)]
    return [
        getattr(read, name) == getattr(other, name) for name in names if getattr(own, name) != getattr(other, name)
    ]
