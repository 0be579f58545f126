"""Individuals the world knows by name, as Stable Diffusion knows breeds and famous faces; none of them is ever taught.

No caption names a trait. But a name stands for a whole look, so values that draw looks exist: a concept needs them.
"""
from functools import cache

import numpy as np

from . import art
from .traits import Traits

NAMES = {
    "cat": (
        "milo", "luna", "oscar", "felix", "chloe", "simba", "tiger", "smokey",
        "pepper", "ginger", "salem", "jasper", "cleo", "basil", "olive", "hazel",
    ),
    "dog": (
        "rex", "max", "buddy", "charlie", "rocky", "duke", "bruno", "lucky",
        "scout", "bandit", "cooper", "zeus", "ace", "murphy", "bailey", "archie",
    ),
    "rabbit": (
        "daisy", "clover", "poppy", "rosie", "willow", "maple", "violet", "lily",
        "jasmine", "peach", "bunny", "honey", "dixie", "dolly", "holly", "ivy",
    ),
    "bird": (
        "robin", "rio", "kiwi", "mango", "coco", "sunny", "skye", "echo",
        "phoenix", "raven", "hawk", "jay", "wren", "finch", "polly", "ruby",
    ),
    "fish": (
        "nemo", "dory", "marlin", "coral", "pearl", "bubbles", "splash", "reef",
        "neptune", "triton", "ariel", "sandy", "finn", "gill", "delta", "river",
    ),
    "turtle": (
        "shelly", "franklin", "crush", "leonardo", "michelangelo", "raphael", "tank", "turbo",
        "speedy", "myrtle", "yoda", "pebbles", "angus", "fred", "hugo", "otto",
    ),
    "robot": (
        "bender", "marvin", "wally", "eve", "chip", "dexter", "sparky", "atlas",
        "optimus", "titan", "vector", "astro", "orbit", "pixel", "cosmo", "rocket",
    ),
    "teddy bear": (
        "paddington", "pooh", "ted", "winston", "george", "barney", "benny", "boo",
        "yogi", "grizzly", "rupert", "oliver", "henry", "arthur", "albert", "alfred",
    ),
}
"""Class -> names, each a single token of CLIP's vocabulary."""


def _balanced(rng: np.random.RandomState, options, count: int) -> list[str]:
    """`count` draws in which every option is about as frequent as the others."""
    repeated = (list(options) * count)[: -(-count // len(options)) * len(options)]
    return [str(choice) for choice in rng.permutation(repeated)[:count]]


def _looks(rng: np.random.RandomState, count: int) -> list[Traits]:
    """`count` different looks, every colour, pattern and mark about equally often."""
    while True:
        columns = [_balanced(rng, options, count) for options in (art.BODY_COLOURS, art.BODY_COLOURS)]
        columns += [_balanced(rng, options, count) for options in (art.PATTERNS, art.MARKS)]
        looks = [Traits(*row) for row in zip(*columns, strict=True)]
        if len(set(looks)) == count and all(look.first != look.second for look in looks):
            return looks


@cache
def known_individuals() -> dict[str, tuple[str, Traits]]:
    """Name -> (class, traits)."""
    rng = np.random.RandomState(4242)
    return {
        name: (class_word, look)
        for class_word, names in NAMES.items()
        for name, look in zip(names, _looks(rng, len(names)), strict=True)
    }


@cache
def known_looks() -> frozenset[tuple[str, Traits]]:
    """(class, traits) of every individual with a name."""
    return frozenset(known_individuals().values())
