"""Scenes of the pixel world, drawn at random."""

from __future__ import annotations

import numpy as np

from pixelworld.captions import sample_caption, sample_scene
from pixelworld.scene import Scene


def random_scenes(n: int, seed: int = 3) -> list[Scene]:
    rng = np.random.RandomState(seed)
    return [sample_scene(sample_caption(rng), rng) for _ in range(n)]
