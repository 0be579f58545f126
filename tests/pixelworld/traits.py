"""What makes an individual of its class."""
from dataclasses import dataclass

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
